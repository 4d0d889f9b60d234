"""Deep Compression in real bytes: a network pruned, its weights shared, and what is left coded.

Han, Mao and Dally, "Deep compression", ICLR 2016; pruning is that of Han, Pool, Tran and Dally,
"Learning both weights and connections for efficient neural networks", NIPS 2015. One idea a module:
``sparsity`` (which weights stay), ``scan`` (what each layer loses by it), ``masked`` (training
that keeps the others at zero), ``pruning`` (round after round); ``initial``, ``sharing`` (values
and who takes which), ``shared`` (training of these values alone); ``stages``, ``course`` (all of
it, and going on after a kill), ``measured`` (what each stage takes and scores). The coder is
``coded`` (such weights as data), ``positions``, ``layout``, ``huffman``, ``ans``, ``container``,
``checkpoint`` and ``formula``.
"""
