"""What stands between processes: TCP proxies on loopback, and network namespaces, which cut, lose and hold back."""
