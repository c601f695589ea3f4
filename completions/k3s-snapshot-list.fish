complete -c k3s-snapshot-list -s o -l output -d 'How to print the rows' -r -f -a "table\t'K3s\'s columns and ours'
json\t'The rows as JSON'
yaml\t'The rows as YAML'"
complete -c k3s-snapshot-list -l max-age -d 'Fail unless the newest proven snapshot is at most this old: 90m, 25h, 7d' -r
complete -c k3s-snapshot-list -l fetch -d 'Fetch this snapshot from the bucket into this folder, prove it, and only then give it its name' -r
complete -c k3s-snapshot-list -l s3 -d 'Use the bucket too: save sends there, list shows what lies there, restore fetches from there, prune and delete take from there' -r
complete -c k3s-snapshot-list -l s3-endpoint -d 'The store: a host, host:port or URL [default: s3.amazonaws.com]' -r
complete -c k3s-snapshot-list -l s3-endpoint-ca -d 'Authorities that sign the store\'s certificate, instead of the system\'s: files, or base64 of PEM' -r
complete -c k3s-snapshot-list -l s3-skip-ssl-verify -d 'Believe any certificate' -r
complete -c k3s-snapshot-list -l s3-access-key-file -d 'A file that holds the access key [default: $AWS_ACCESS_KEY_ID, the credential s3-access-key, ...]' -r
complete -c k3s-snapshot-list -l s3-secret-key-file -d 'A file that holds the secret key [default: $AWS_SECRET_ACCESS_KEY, the credential s3-secret-key, ...]' -r
complete -c k3s-snapshot-list -l s3-session-token-file -d 'A file that holds the session token of temporary keys' -r
complete -c k3s-snapshot-list -l s3-bucket -d 'The bucket' -r
complete -c k3s-snapshot-list -l s3-bucket-lookup-type -d 'Where a request names the bucket: auto, dns (in the host name) or path [default: auto]' -r
complete -c k3s-snapshot-list -l s3-region -d 'The bucket\'s region [default: us-east-1]' -r
complete -c k3s-snapshot-list -l s3-folder -d 'The folder in the bucket' -r
complete -c k3s-snapshot-list -l s3-insecure -d 'Use plain HTTP' -r
complete -c k3s-snapshot-list -l s3-timeout -d 'How long nothing may move before a request is given up [default: 5m]' -r
complete -c k3s-snapshot-list -l s3-proxy -d 'The proxy: a URL, or \'none\' [default: as the environment says]' -r
complete -c k3s-snapshot-list -l s3-storage-class -d 'The storage class of new objects' -r
complete -c k3s-snapshot-list -l s3-encryption -d 'Encryption by the store: AES256 or aws:kms' -r
complete -c k3s-snapshot-list -l s3-kms-key-id -d 'The key for aws:kms' -r
complete -c k3s-snapshot-list -l s3-customer-key-file -d 'A file with a key of 32 bytes that the store encrypts with and does not keep; K3s cannot read such objects' -r
complete -c k3s-snapshot-list -l s3-tags -d 'Tags of new objects: key=value,key=value' -r
complete -c k3s-snapshot-list -l s3-parallel -d 'How many parts of an upload may be in flight at once; twice as many requests when reading [default: 4]' -r
complete -c k3s-snapshot-list -l s3-part-size -d 'The size of one part of an upload or download [default: 16MiB]' -r
complete -c k3s-snapshot-list -l s3-backlog -d 'Send what earlier saves could not send after a new snapshot [default: true]' -r
complete -c k3s-snapshot-list -l s3-access-key -d 'Refused: K3s takes the value here, where everybody can see it' -r
complete -c k3s-snapshot-list -l s3-secret-key -d 'Refused: K3s takes the value here, where everybody can see it' -r
complete -c k3s-snapshot-list -l s3-session-token -d 'Refused: K3s takes the value here, where everybody can see it' -r
complete -c k3s-snapshot-list -l distribution -d 'The distribution: k3s or rke2 [default: what is found on the machine]' -r
complete -c k3s-snapshot-list -s d -l data-dir -d 'K3s\'s data-dir [default: /var/lib/rancher/k3s, or what K3s\'s configuration or unit says]' -r
complete -c k3s-snapshot-list -l dir -d 'The snapshot folder [default: DATA-DIR/server/db/snapshots, or what K3s\'s configuration says]' -r
complete -c k3s-snapshot-list -s c -l config -d 'K3s\'s configuration file [default: $K3S_CONFIG_FILE, what K3s\'s unit names, or /etc/rancher/k3s/config.yaml]' -r
complete -c k3s-snapshot-list -l unit -d 'K3s\'s unit, whose flags and environment count as K3s\'s configuration does [default: k3s.service, else the one that runs K3s]' -r
complete -c k3s-snapshot-list -l token-file -d 'The file that holds the server token, for the Token column [default: DATA-DIR/server/token]' -r
complete -c k3s-snapshot-list -l root -d 'Work on the machine whose file system is mounted here; etcd is then contacted only if --etcd-endpoints names it' -r
complete -c k3s-snapshot-list -l state-dir -d 'Where the manifests are kept, which remember what was proven [default: /var/lib/k3s-snapshot]' -r
complete -c k3s-snapshot-list -l run-dir -d 'Where the lock is kept [default: /run/k3s-snapshot]' -r
complete -c k3s-snapshot-list -l report -d 'How to report the result: text, or json with everything (see k3s-snapshot(7))' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c k3s-snapshot-list -l check-s3 -d 'Look step by step what works of the bucket, and say what to do about what does not'
complete -c k3s-snapshot-list -l details -d 'Read the manifests in the bucket too: node, revision, token'
complete -c k3s-snapshot-list -l skip-without-etcd -d 'Exit 0 with the reason where this machine rightly keeps no embedded etcd; for units'
complete -c k3s-snapshot-list -l explain -d 'Print every effective setting and where it was said, then end'
complete -c k3s-snapshot-list -s q -l quiet -d 'Say nothing but warnings and errors, and show no progress'
complete -c k3s-snapshot-list -l debug -d 'Say more'
complete -c k3s-snapshot-list -s h -l help -d 'Print help (see more with \'--help\')'
complete -c k3s-snapshot-list -s V -l version -d 'Print version'
