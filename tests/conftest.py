"""What several test files share."""

import numpy as np
import pytest
import recipe


@pytest.fixture(scope="session")
def golden_dict(tmp_path_factory):
    """Path of the dictionary behind the golden figures."""
    path = tmp_path_factory.mktemp("golden") / "s3d_dict.npy"
    np.save(path, recipe.dictionary(recipe.S3D_FACTS["words"]))
    return path


@pytest.fixture(scope="session")
def golden_state_dict():
    """The published checkpoint's keys and shapes, filled by the recipe."""
    import torch

    keys = recipe.S3D_FACTS["keys"]
    return {key: torch.from_numpy(recipe.fill(key, tuple(shape))) for key, shape in keys.items()}
