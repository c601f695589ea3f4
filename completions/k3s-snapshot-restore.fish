complete -c k3s-snapshot-restore -l before -d 'The newest from before this moment: \'2026-11-22 08:00\', RFC 3339, or seconds since the epoch' -r
complete -c k3s-snapshot-restore -l ready-timeout -d 'How long K3s may take until it serves again [default: 10m]' -r
complete -c k3s-snapshot-restore -l reset-timeout -d 'How long K3s\'s reset may show no progress [default: 5m]' -r
complete -c k3s-snapshot-restore -l clean-old -d 'Delete the databases that restores have left, but the newest KEEP of each kind' -r
complete -c k3s-snapshot-restore -l s3 -d 'Use the bucket too: save sends there, list shows what lies there, restore fetches from there, prune and delete take from there' -r
complete -c k3s-snapshot-restore -l s3-endpoint -d 'The store: a host, host:port or URL [default: s3.amazonaws.com]' -r
complete -c k3s-snapshot-restore -l s3-endpoint-ca -d 'Authorities that sign the store\'s certificate, instead of the system\'s: files, or base64 of PEM' -r
complete -c k3s-snapshot-restore -l s3-skip-ssl-verify -d 'Believe any certificate' -r
complete -c k3s-snapshot-restore -l s3-access-key-file -d 'A file that holds the access key [default: $AWS_ACCESS_KEY_ID, the credential s3-access-key, ...]' -r
complete -c k3s-snapshot-restore -l s3-secret-key-file -d 'A file that holds the secret key [default: $AWS_SECRET_ACCESS_KEY, the credential s3-secret-key, ...]' -r
complete -c k3s-snapshot-restore -l s3-session-token-file -d 'A file that holds the session token of temporary keys' -r
complete -c k3s-snapshot-restore -l s3-bucket -d 'The bucket' -r
complete -c k3s-snapshot-restore -l s3-bucket-lookup-type -d 'Where a request names the bucket: auto, dns (in the host name) or path [default: auto]' -r
complete -c k3s-snapshot-restore -l s3-region -d 'The bucket\'s region [default: us-east-1]' -r
complete -c k3s-snapshot-restore -l s3-folder -d 'The folder in the bucket' -r
complete -c k3s-snapshot-restore -l s3-insecure -d 'Use plain HTTP' -r
complete -c k3s-snapshot-restore -l s3-timeout -d 'How long nothing may move before a request is given up [default: 5m]' -r
complete -c k3s-snapshot-restore -l s3-proxy -d 'The proxy: a URL, or \'none\' [default: as the environment says]' -r
complete -c k3s-snapshot-restore -l s3-storage-class -d 'The storage class of new objects' -r
complete -c k3s-snapshot-restore -l s3-encryption -d 'Encryption by the store: AES256 or aws:kms' -r
complete -c k3s-snapshot-restore -l s3-kms-key-id -d 'The key for aws:kms' -r
complete -c k3s-snapshot-restore -l s3-customer-key-file -d 'A file with a key of 32 bytes that the store encrypts with and does not keep; K3s cannot read such objects' -r
complete -c k3s-snapshot-restore -l s3-tags -d 'Tags of new objects: key=value,key=value' -r
complete -c k3s-snapshot-restore -l s3-parallel -d 'How many parts of an upload may be in flight at once; twice as many requests when reading [default: 4]' -r
complete -c k3s-snapshot-restore -l s3-part-size -d 'The size of one part of an upload or download [default: 16MiB]' -r
complete -c k3s-snapshot-restore -l s3-backlog -d 'Send what earlier saves could not send after a new snapshot [default: true]' -r
complete -c k3s-snapshot-restore -l s3-access-key -d 'Refused: K3s takes the value here, where everybody can see it' -r
complete -c k3s-snapshot-restore -l s3-secret-key -d 'Refused: K3s takes the value here, where everybody can see it' -r
complete -c k3s-snapshot-restore -l s3-session-token -d 'Refused: K3s takes the value here, where everybody can see it' -r
complete -c k3s-snapshot-restore -l distribution -d 'The distribution: k3s or rke2 [default: what is found on the machine]' -r
complete -c k3s-snapshot-restore -s d -l data-dir -d 'K3s\'s data-dir [default: /var/lib/rancher/k3s, or what K3s\'s configuration or unit says]' -r
complete -c k3s-snapshot-restore -l dir -d 'The snapshot folder [default: DATA-DIR/server/db/snapshots, or what K3s\'s configuration says]' -r
complete -c k3s-snapshot-restore -s c -l config -d 'K3s\'s configuration file [default: $K3S_CONFIG_FILE, what K3s\'s unit names, or /etc/rancher/k3s/config.yaml]' -r
complete -c k3s-snapshot-restore -l unit -d 'K3s\'s unit, whose flags and environment count as K3s\'s configuration does [default: k3s.service, else the one that runs K3s]' -r
complete -c k3s-snapshot-restore -l token-file -d 'The file that holds the server token, for the Token column [default: DATA-DIR/server/token]' -r
complete -c k3s-snapshot-restore -l root -d 'Work on the machine whose file system is mounted here; etcd is then contacted only if --etcd-endpoints names it' -r
complete -c k3s-snapshot-restore -l state-dir -d 'Where the manifests are kept, which remember what was proven [default: /var/lib/k3s-snapshot]' -r
complete -c k3s-snapshot-restore -l run-dir -d 'Where the lock is kept [default: /run/k3s-snapshot]' -r
complete -c k3s-snapshot-restore -l report -d 'How to report the result: text, or json with everything (see k3s-snapshot(7))' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c k3s-snapshot-restore -s y -l yes -d 'Do not ask'
complete -c k3s-snapshot-restore -s n -l dry-run -d 'Show the plan, and do nothing'
complete -c k3s-snapshot-restore -l force -d 'Take a snapshot of another cluster or of a newer K3s all the same'
complete -c k3s-snapshot-restore -l no-safety-snapshot -d 'Do not save first what is live now'
complete -c k3s-snapshot-restore -l others-stopped -d 'The other servers are stopped, even if one of them answers'
complete -c k3s-snapshot-restore -l recover -d 'Bring the files of a restore that was cut off to a good state; start nothing'
complete -c k3s-snapshot-restore -l conclude -d 'The same, then bring K3s to where it was, prove and report'
complete -c k3s-snapshot-restore -l reset-only -d 'Restore nothing: make the cluster one of this server alone, with the data that it has, where the quorum is lost'
complete -c k3s-snapshot-restore -l rejoin -d 'Restore nothing: move the database aside and join again the server that K3s\'s configuration names'
complete -c k3s-snapshot-restore -l explain -d 'Print every effective setting and where it was said, then end'
complete -c k3s-snapshot-restore -s q -l quiet -d 'Say nothing but warnings and errors, and show no progress'
complete -c k3s-snapshot-restore -l debug -d 'Say more'
complete -c k3s-snapshot-restore -s h -l help -d 'Print help (see more with \'--help\')'
complete -c k3s-snapshot-restore -s V -l version -d 'Print version'
