"""The open-loop load driver: what to send (traffic, schedule), sending it, and the result.

Import from the modules; nothing is loaded here, because aiohttp is slow to import.
"""
