"""Adapters: this library behind the interfaces of others, and through proxies."""
