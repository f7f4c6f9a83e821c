"""Google Cloud project of a program, from flags and the environment."""

import dataclasses
import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path

import google.cloud.storage
from absl import flags
from google import auth
from google.auth.exceptions import DefaultCredentialsError
from xmanager import xm_flags
from xmanager.cloud import vertex

from mukoe.errors import UserError

# An image with CUDA takes longer to build than XManager's 20 minutes.
_BUILD_SECONDS = 3600


@dataclasses.dataclass(frozen=True)
class Account:
    """Project and region of a program.

    project: id of the Google Cloud project, which is billed.
    service_account: name of the nodes' service account, before the `@`.
    location: region, such as `us-central1`.
    """

    project: str
    service_account: str
    location: str


def find_account(
    project: str | None, service_account: str | None, location: str, environment: Mapping[str, str]
) -> Account:
    """Completes the account from the environment and checks that credentials exist.

    Raises:
      UserError: values are missing; the message names all of them.
    """
    project = project or environment.get("GOOGLE_CLOUD_PROJECT")
    service_account = service_account or environment.get("GOOGLE_CLOUD_SERVICE_ACCOUNT")
    missing = []
    if not project:
        missing.append("the project (--gcp_project or GOOGLE_CLOUD_PROJECT)")
    if not service_account:
        missing.append(
            "the service account (--gcp_service_account or GOOGLE_CLOUD_SERVICE_ACCOUNT)"
        )
    try:
        auth.default()
    except DefaultCredentialsError:
        missing.append(
            "credentials (GOOGLE_APPLICATION_CREDENTIALS, or gcloud auth application-default login)"
        )
    if missing or not project or not service_account:
        raise UserError("Vertex AI needs " + " and ".join(missing))
    return Account(project, service_account.partition("@")[0], location)


def split_workdir(workdir: str) -> tuple[str, str]:
    """Returns the bucket and the path of `gs://BUCKET/PATH`.

    Raises:
      UserError: the workdir has another form.
    """
    match = re.fullmatch(r"gs://([a-z0-9][a-z0-9._-]+)/+(.*[^/])/*", workdir)
    if match is None:
        raise UserError(
            "Vertex AI needs the bucket that all nodes share: --workdir=gs://BUCKET/PATH, "
            f"not {workdir!r}"
        )
    return match[1], match[2]


def mounted(bucket: str, path: str) -> Path:
    """Returns the path of a bucket's folder on the nodes of Vertex AI."""
    return Path("/gcs", bucket, path)


def check_workdir(account: Account, bucket: str, path: str, resume: bool) -> None:
    """Raises a `UserError` if a run exists without `resume`, or none exists with it."""
    blob = google.cloud.storage.Client(account.project).bucket(bucket).blob(f"{path}/config.json")
    exists = blob.exists()
    if exists and not resume:
        raise UserError(
            f"workdir gs://{bucket}/{path} already holds an experiment: continue it with "
            "--resume, or give another --workdir"
        )
    if resume and not exists:
        raise UserError(f"nothing to resume in gs://{bucket}/{path}: start it without --resume")


def use(account: Account, bucket: str, environment: MutableMapping[str, str]) -> None:
    """Sets the environment variables, flags and default client that XManager reads."""
    environment["GOOGLE_CLOUD_PROJECT"] = account.project
    environment["GOOGLE_CLOUD_BUCKET_NAME"] = bucket
    flags.FLAGS[xm_flags.GCP_SERVICE_ACCOUNT_NAME.name].value = account.service_account
    flags.FLAGS[xm_flags.CLOUD_BUILD_TIMEOUT_SECONDS.name].value = _BUILD_SECONDS
    vertex.set_default_client(vertex.Client(account.project, account.location))
