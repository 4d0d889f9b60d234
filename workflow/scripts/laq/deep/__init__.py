"""Deep Compression: a network pruned, its weights shared, and what is left coded.

Han, Mao and Dally, "Deep compression", ICLR 2016; pruning is that of Han, Pool, Tran and Dally,
"Learning both weights and connections for efficient neural networks", NIPS 2015. One idea a module:
``sparsity`` (which weights stay), ``scan`` (what each layer loses by it), ``masked`` (training
that keeps the others at zero), ``pruning`` (round after round); ``initial``, ``sharing`` (centroids
and who takes which), ``shared`` (training of centroids alone); ``course`` (all of it).
"""
