# Written by `python -m tests.stubs` from the names in __init__.py.
from .api import extract_region_features as extract_region_features
from .cache import MapCache as MapCache
from .cache import estimate_bytes as estimate_bytes
from .cache import settings_key as settings_key
from .extractor import FeatureExtractor as FeatureExtractor
from .head import Head as Head
from .settings import FeatureSettings as FeatureSettings
