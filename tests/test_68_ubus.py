"""Section 68: the daemon on OpenWrt's bus."""
