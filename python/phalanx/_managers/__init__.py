"""What managers are made of; `phalanx.managers` has the names.

`links` are the connections to a server, `proxy` is what all proxies have in common, `proxies` and
`containers` are their kinds, `managed` and `contents` are what a server makes, `server` serves it, `segments` also
removes shared memory, and `foreign` speaks with the standard library's servers and clients.
"""
