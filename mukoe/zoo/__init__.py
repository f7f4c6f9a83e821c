"""Zoo: trained agents that the package contains, named `zoo:NAME` wherever a workdir is named.

An entry is a folder of `config.json` (as in a workdir), `parameters.npz` (named arrays) and
`certificate.json`, which holds the origin, the evaluation and the checksum of the parameters.
"""

from mukoe.zoo.entries import Certificate, certificates, is_entry, read_parameters, resolve

__all__ = ["Certificate", "certificates", "is_entry", "read_parameters", "resolve"]
