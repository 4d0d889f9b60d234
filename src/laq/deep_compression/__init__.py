"""Deep Compression in real bytes: a network pruned, its weights shared, and what is left coded.

Han, Mao and Dally, "Deep compression", ICLR 2016; pruning is that of Han, Pool, Tran and Dally,
"Learning both weights and connections for efficient neural networks", NIPS 2015.

One idea a module: ``masks`` (which weights stay, and training that keeps the others at zero),
``sensitivity`` (what each layer loses by pruning), ``pruning`` (round after round);
``weight_clustering`` (first centroids, and which weight takes which),
``centroid_finetuning`` (training of centroids alone); ``stages`` (trainings, and going on after a
kill), ``pipeline`` (all of it); ``distribution`` and ``layer_table`` (tables); ``low_rank`` (the
method that it is compared with). The coder is ``laq.checkpoints.deep_container``.
"""
