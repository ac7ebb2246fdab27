"""Files of the model hub, brought into the cache that all programs of the hub share.

The hub's own client begins anew after every interruption (since its version 1.18) and compares no checksum; it is used
for what it does well: addresses, tokens, proxies, certificates, locks.  The bytes are fetched here.
"""
