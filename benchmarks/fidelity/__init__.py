"""The live laboratory: real services, real sockets, real CPU."""
