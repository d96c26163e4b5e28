"""What the tests on real parts share: waiting, one namespace of the cluster, one account of the emulated AWS."""
