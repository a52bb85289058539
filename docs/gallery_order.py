"""The order of the examples in the gallery, for ``within_subsection_order`` of sphinx-gallery."""

FIRST_TO_LAST = (
    "crash_survey",
    "rare_event",
    "insurance",
    "time_decay",
    "covariate_shift",
    "replicate_weights",
    "noisy_labels",
    "feature_weights",
    "multilabel",
    "quantiles",
    "digits_cnn",
    "text_and_table",
    "members",
)


def by_topic(name: str) -> int:
    """The place of a script, by its name."""
    return FIRST_TO_LAST.index(name.removeprefix("plot_").removesuffix(".py"))
