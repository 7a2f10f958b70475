"""The stock and price service that the shop asks before it accepts an order."""
