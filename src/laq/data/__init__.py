"""Images with labels, and files of them; ``sources`` has the kinds of data sets by name."""

from laq.data.archives import load, load_labels, load_names, save
from laq.data.dataset import Dataset, Survey, of_classes, only

__all__ = ["Dataset", "Survey", "load", "load_labels", "load_names", "of_classes", "only", "save"]
