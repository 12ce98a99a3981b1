"""Blob containers: how one is named, what opens it, and the requests that everything in the cloud is made of."""
