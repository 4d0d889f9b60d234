"""Images with labels, and files of them; ``sources`` has the kinds of data sets by name."""

from laq.data.archives import load, load_labels, load_names, save
from laq.data.dataset import Dataset, of_classes, only
from laq.data.survey import Survey

__all__ = ["Dataset", "Survey", "load", "load_labels", "load_names", "of_classes", "only", "save"]
