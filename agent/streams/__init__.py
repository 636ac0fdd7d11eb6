"""The node's ends of byte streams: who may speak to what runs here, and what is said."""
