"""Hostile servers: proxies in front of real ones, whose faults follow from a seed."""
