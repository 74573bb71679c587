"""DNS: a resolver that asks name servers itself."""
