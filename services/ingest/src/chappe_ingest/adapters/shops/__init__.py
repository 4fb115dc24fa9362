"""The shops that can be asked, behind one port."""

from chappe_ingest.adapters.shops.opening import OpenShops, addresses

__all__ = ["OpenShops", "addresses"]
