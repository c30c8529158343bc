"""Section 28: messages of OpenWrt's bus."""
