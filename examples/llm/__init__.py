"""A local server that speaks the OpenAI chat protocol and needs no model."""
