"""Published logs of quantization studies, read into the tables that a study of this project makes.

A log is a CSV file with a row a subset: the classes, their inter-class distances (ICD) and the
accuracy of four networks, over all classes and over the subset's.
"""

from laq.data.published.log import Log, Row, read_log
from laq.data.published.tables import Tables, put_together, read

__all__ = ["Log", "Row", "Tables", "put_together", "read", "read_log"]
