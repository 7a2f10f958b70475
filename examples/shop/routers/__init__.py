"""The endpoints of the shop, one module per subject."""
