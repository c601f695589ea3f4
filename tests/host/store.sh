# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# An S3 server in the booted host, moto, with an empty bucket. A scenario sources this after lib.sh; /opt/moto is the directory of
# moto's Python packages.
STORE=http://127.0.0.1:9000
# shellcheck disable=SC2034 # for the scenario
S3=(--s3 --s3-endpoint "$STORE" --s3-bucket backups --s3-folder lab --s3-timeout 5s)
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
start_store() {
	systemd-run --quiet --collect --unit store --setenv PYTHONPATH="$(echo /opt/moto/lib/python3*/site-packages)" python3 -m moto.server -H 127.0.0.1 -p 9000
	eventually 30 bash -c 'exec 3<>/dev/tcp/127.0.0.1/9000' 2>/dev/null || fail "no store: $(journalctl --unit store --no-pager)"
}
# s3 METHOD KEY [FILE]
s3() {
	python3 - "$@" <<'END'
import sys, urllib.request
method, key, *file = sys.argv[1:]
sign = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=a"
data = open(file[0], "rb").read() if file else None
request = urllib.request.Request("http://127.0.0.1:9000/backups" + key, data, {"Authorization": sign}, method=method)
sys.stdout.buffer.write(urllib.request.urlopen(request).read())
END
}
start_store
s3 PUT ''

# upload NAME [OPTION...]: a snapshot that is only in the bucket, its name is then in $SNAPSHOT
upload() {
	sleep 1.1
	run 0 k3s-snapshot save --name "$@" "${S3[@]}"
	SNAPSHOT=$(field snapshots.0.name)
	rm "$DATA/server/db/snapshots/$SNAPSHOT"
	note_snapshot
}
