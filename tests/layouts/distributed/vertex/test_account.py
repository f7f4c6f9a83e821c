"""Project, service account, bucket and credentials: each that is missing is named."""

import json

import pytest

pytest.importorskip("xmanager")

from mukoe.errors import UserError  # noqa: E402
from mukoe.layouts.distributed.vertex import account  # noqa: E402


@pytest.fixture
def no_credentials(tmp_path, monkeypatch):
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    # Where google.auth looks, and no question to a metadata server.
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.fixture
def credentials(tmp_path, monkeypatch):
    path = tmp_path / "credentials.json"
    user = {"client_id": "a", "client_secret": "b", "refresh_token": "c"}
    path.write_text(json.dumps({"type": "authorized_user", **user}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))


@pytest.mark.usefixtures("no_credentials")
def test_one_line_names_all_that_is_missing():
    with pytest.raises(UserError) as error:
        account.find_account(None, None, "us-central1", {})
    text = str(error.value)
    assert "\n" not in text
    for name in (
        "--gcp_project or GOOGLE_CLOUD_PROJECT",
        "--gcp_service_account or GOOGLE_CLOUD_SERVICE_ACCOUNT",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ):
        assert name in text


@pytest.mark.usefixtures("no_credentials")
def test_only_what_is_missing_is_named():
    with pytest.raises(UserError, match="^Vertex AI needs credentials") as error:
        account.find_account("project", "robot", "us-central1", {})
    assert "GOOGLE_CLOUD_PROJECT" not in str(error.value)


@pytest.mark.usefixtures("credentials")
def test_flags_come_before_the_environment():
    environment = {"GOOGLE_CLOUD_PROJECT": "theirs", "GOOGLE_CLOUD_SERVICE_ACCOUNT": "robot@x.com"}
    found = account.find_account("mine", None, "europe-west4", environment)
    assert found == account.Account("mine", "robot", "europe-west4")


def test_the_workdir_is_in_a_bucket():
    assert account.split_workdir("gs://bucket/runs/x/") == ("bucket", "runs/x")
    assert str(account.mounted("bucket", "runs/x")) == "/gcs/bucket/runs/x"


@pytest.mark.parametrize("workdir", ["runs/x", "/gcs/bucket/x", "gs://bucket", "gs://bucket/", ""])
def test_other_workdirs_are_refused(workdir):
    with pytest.raises(UserError, match="--workdir=gs://BUCKET/PATH"):
        account.split_workdir(workdir)
