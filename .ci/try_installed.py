"""A short use of the installed skweight. Run it in a folder that does not hold the source."""

from importlib import import_module, metadata
from pathlib import Path
from pkgutil import walk_packages

import numpy as np

import skweight

package = Path(skweight.__file__).parent
assert "site-packages" in package.parts and (package / "py.typed").exists(), package
assert skweight.__version__ == metadata.version("skweight")
for module in walk_packages([str(package)], "skweight."):
    import_module(module.name)

rng = np.random.default_rng(0)
X, weight = rng.normal(size=(500, 3)), rng.exponential(size=500)
y = X[:, 0] + rng.normal(size=500) > 0
clf = skweight.WeightedTorchClassifier(max_epochs=20, random_state=0).fit(X, y, weight)
assert clf.predict_proba(X[:3]).shape == (3, 2) and clf.score(X, y, weight) > 0.7
reg = skweight.WeightedTorchRegressor(max_epochs=20, random_state=0).fit(X, X[:, 0], weight)
assert reg.predict(X[:3]).shape == (3,) and reg.score(X, X[:, 0], weight) > 0.7

site = dict(url.split(", ") for url in metadata.metadata("skweight").get_all("Project-URL"))
page = site["Documentation"] + "api/WeightedTorchClassifier.html"
assert f'href="{page}"' in clf._repr_html_(), "the ? of a notebook does not lead to the site"
print(f"skweight {skweight.__version__} fits and predicts; its page is {page}")
