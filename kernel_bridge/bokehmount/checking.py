"""Has a new Document checked as ``Document.validate`` does, in half of its time.  No I/O.

Bokeh looks for the models once more, root by root, and in each model for the names of its checks.  So what several
roots share is checked, and told of, once for each of them there, and once here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial

from bokeh.core.validation import check_integrity, process_validation_issues
from bokeh.document import Document
from bokeh.model import Model

__all__ = ("not_validated", "quickly_validated")


def quickly_validated(document: Document) -> AbstractContextManager[None]:
    """In this block ``document.validate()`` is ours."""
    return _validated_by(document, partial(_validate, document))


def not_validated(document: Document) -> AbstractContextManager[None]:
    """In this block ``document.validate()`` does nothing: it was done, and a library asks for it again."""
    return _validated_by(document, lambda: None)


@contextmanager
def _validated_by(document: Document, validate: Callable[[], None]) -> Iterator[None]:
    own = vars(document)
    own["validate"] = validate
    try:
        yield
    finally:
        del own["validate"]


def _validate(document: Document) -> None:
    """Log what is wrong with a Document's models.

    Raises:
        RuntimeError: ``BOKEH_VALIDATION_LEVEL`` says that what was found is an error
    """
    issues = check_integrity(())
    for model in document.models:
        for name in _checks(type(model)):
            check = getattr(model, name)
            found = issues.error if check.validator_type == "error" else issues.warning
            found.extend(check())
    process_validation_issues(issues)


@cache
def _checks(cls: type[Model]) -> tuple[str, ...]:
    names = (name for name in dir(cls) if name.startswith("_check"))
    return tuple(name for name in names if getattr(getattr(cls, name), "validator_type", None))
