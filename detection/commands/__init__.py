"""The commands: a module each, whose ``main`` is the command line. The table imports none of them."""

# Name -> (module of this package, what it does).
COMMANDS = {
    "run": ("run_pipeline", "the whole pipeline, each stage passed over where it is done"),
    "demo": ("demo", "the whole pipeline on the embedded digits"),
    "download_voc": ("download_voc", "Pascal VOC 2007 trainval and test from the official archives"),
    "dataset": ("dataset", "a data set in any format: its faults, figures, conversion, splits, a sheet of photos"),
    "proposals": ("proposals", "proposals of a run: made, imported, exported, checked, measured"),
    "extract_features": ("extract_features", "convolutional maps of a run's images; vectors of proposals or boxes"),
    "features": ("features", "the cache of maps: its sets, damaged files, what is no longer used"),
    "finetune": ("finetune", "fc6 and fc7 trained on the data set"),
    "train_svm": ("train_svm", "linear SVMs with hard-negative mining; one class added, dropped or renamed"),
    "train_bbox": ("train_bbox", "box regressors, added to the detector"),
    "compress": ("compress", "fc6 and fc7 of a detector as low-rank layers"),
    "tune": ("tune", "C and the weight of positives by cross-validation"),
    "calibrate": ("calibrate", "probabilities of detections, and how reliable they are"),
    "detect": ("detect", "detections of the test split, or in any photos and videos with a saved detector"),
    "evaluate": ("evaluate", "average precision of a run or of any detector's results on file"),
    "combine": ("combine", "several runs' detectors together"),
    "report": ("report", "the HTML report of a run, or of two"),
    "visualize_features": ("visualize_features", "what filters respond to, why a box has its score"),
    "train_classifier": ("train_classifier", "a classifier of whole images"),
}
