# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_k3s_snapshot_global_optspecs
    string join \n h/help V/version
end

function __fish_k3s_snapshot_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_k3s_snapshot_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_k3s_snapshot_using_subcommand
    set -l cmd (__fish_k3s_snapshot_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c k3s-snapshot -n "__fish_k3s_snapshot_needs_command" -s h -l help -d 'Print help'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_needs_command" -s V -l version -d 'Print version'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_needs_command" -f -a "save" -d 'Save a verified snapshot of the etcd of K3s'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_needs_command" -f -a "list" -d 'List snapshots and their state'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_needs_command" -f -a "status" -d 'Show the state of the snapshots, the jobs and etcd, and the reasons to act'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_needs_command" -f -a "verify" -d 'Verify snapshots: read every byte and report what is wrong'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_needs_command" -f -a "prune" -d 'Apply the retention policy: delete snapshots that no rule keeps'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_needs_command" -f -a "delete" -d 'Delete snapshots by name'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_needs_command" -f -a "restore" -d 'Restore K3s from a snapshot, with automatic rollback'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_needs_command" -f -a "rebuild" -d 'Rebuild a lost server on this machine, from the bucket and one private key'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_needs_command" -f -a "kit" -d 'Make the keys of recovery kits, and verify that a kit can be opened'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_needs_command" -f -a "fetch" -d 'Download a snapshot from the bucket and verify it'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_needs_command" -f -a "check-s3" -d 'Test access to the S3 bucket and suggest fixes'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l name -d 'Base of the snapshot name [default: manual]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l node-name -d 'Node in the snapshot name [default: node name of K3s, else the host name in lower case]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l snapshot-compress -d 'Store a zip, like the K3s option of this name' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l method -d 'How to capture it: clone (by the file system; XFS, btrfs), copy (of the database file), stream (etcd sends it), or auto (the first of them that is possible) [default: auto]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l stall-timeout -d 'Abort after this long without data from etcd [default: 30s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l rate-limit -d 'Read at most this much of the database per second, for instance 20MiB [default: no limit]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l etcd-endpoints -d 'Client URLs of etcd [default: from DATA-DIR/server/db/etcd/config, else port 2379 on loopback]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l etcd-cacert -d 'CA certificate of etcd [default: DATA-DIR/server/tls/etcd/server-ca.crt]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l etcd-cert -d 'Client certificate for etcd [default: DATA-DIR/server/tls/etcd/client.crt]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l etcd-key -d 'Key of the client certificate [default: DATA-DIR/server/tls/etcd/client.key]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l kit-recipients -d 'Seal a recovery kit for this public key: age1..., ssh-ed25519 ... or ssh-rsa ... (can be repeated)' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l retry-lock -d 'Wait up to this long for the lock [default: fail immediately]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3 -d 'Use the bucket too: save uploads to it, list shows it, restore downloads from it, prune and delete delete in it' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-endpoint -d 'Endpoint of the store: host, host:port or URL [default: s3.amazonaws.com]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-endpoint-ca -d 'CA certificates to trust instead of the system\'s: PEM files, or base64 of PEM' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-skip-ssl-verify -d 'Do not verify the server certificate (insecure)' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-access-key-file -d 'File with the access key [default: $AWS_ACCESS_KEY_ID, the systemd credential s3-access-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-secret-key-file -d 'File with the secret key [default: $AWS_SECRET_ACCESS_KEY, the systemd credential s3-secret-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-session-token-file -d 'File with the session token of temporary credentials' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-bucket -d 'Name of the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-bucket-lookup-type -d 'Bucket name in the host name (dns) or in the path (path) [default: auto]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-region -d 'Region of the bucket [default: us-east-1]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-folder -d 'Prefix in the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-insecure -d 'Use plain HTTP' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-timeout -d 'Abort a request after this long without progress [default: 5m]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-proxy -d 'HTTP proxy URL, or \'none\' [default: HTTPS_PROXY and NO_PROXY]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-storage-class -d 'Storage class of new objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-encryption -d 'Server-side encryption: AES256 or aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-kms-key-id -d 'Key ID for aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-customer-key-file -d 'File with a key of 32 bytes for SSE-C; K3s cannot read such objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-tags -d 'Tags of new objects: key=value,key=value' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-parallel -d 'Parts of an upload in flight at once; a download has twice as many [default: 4]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-part-size -d 'Size of one part of an upload or download [default: 16MiB]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-backlog -d 'After a save, make the pending uploads of earlier saves too [default: true]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-access-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-secret-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l s3-session-token -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l distribution -d 'The distribution: k3s or rke2 [default: detected]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -s d -l data-dir -d 'Data directory of K3s [default: that of the K3s configuration or service, else /var/lib/rancher/k3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l dir -d 'Snapshot directory [default: that of the K3s configuration, else DATA-DIR/server/db/snapshots]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -s c -l config -d 'Configuration file of K3s [default: $K3S_CONFIG_FILE, that of the K3s service, or /etc/rancher/k3s/config.yaml]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l unit -d 'K3s unit; its arguments and environment count like the K3s configuration [default: k3s.service, else the unit that runs K3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l token-file -d 'File with the server token [default: DATA-DIR/server/token]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l root -d 'Use the file system mounted at DIR instead of /; etcd is then contacted only with --etcd-endpoints' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l state-dir -d 'Directory of the manifests, which record verification results [default: /var/lib/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l run-dir -d 'Directory of the lock [default: /run/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l report -d 'Format of the result: text, or json with every detail' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l offline -d 'Save the database file of an etcd that does not run [default: etcd must answer]'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l no-backlog -d 'Do not make the pending uploads of earlier saves'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l skip-without-etcd -d 'Exit successfully if this machine is not expected to have embedded etcd or SQLite (for timers)'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -l show-config -d 'Print the effective settings and their origin, then exit'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -s q -l quiet -d 'Print only warnings and errors'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -s v -l debug -d 'Print debug messages'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand save" -s V -l version -d 'Print version'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -s o -l output -d 'How to print the rows' -r -f -a "table\t'The columns of K3s and ours'
json\t'The rows as JSON'
yaml\t'The rows as YAML'"
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l max-age -d 'Fail if the newest verified snapshot is older than this: 90m, 25h, 7d' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3 -d 'Use the bucket too: save uploads to it, list shows it, restore downloads from it, prune and delete delete in it' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-endpoint -d 'Endpoint of the store: host, host:port or URL [default: s3.amazonaws.com]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-endpoint-ca -d 'CA certificates to trust instead of the system\'s: PEM files, or base64 of PEM' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-skip-ssl-verify -d 'Do not verify the server certificate (insecure)' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-access-key-file -d 'File with the access key [default: $AWS_ACCESS_KEY_ID, the systemd credential s3-access-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-secret-key-file -d 'File with the secret key [default: $AWS_SECRET_ACCESS_KEY, the systemd credential s3-secret-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-session-token-file -d 'File with the session token of temporary credentials' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-bucket -d 'Name of the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-bucket-lookup-type -d 'Bucket name in the host name (dns) or in the path (path) [default: auto]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-region -d 'Region of the bucket [default: us-east-1]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-folder -d 'Prefix in the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-insecure -d 'Use plain HTTP' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-timeout -d 'Abort a request after this long without progress [default: 5m]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-proxy -d 'HTTP proxy URL, or \'none\' [default: HTTPS_PROXY and NO_PROXY]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-storage-class -d 'Storage class of new objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-encryption -d 'Server-side encryption: AES256 or aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-kms-key-id -d 'Key ID for aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-customer-key-file -d 'File with a key of 32 bytes for SSE-C; K3s cannot read such objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-tags -d 'Tags of new objects: key=value,key=value' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-parallel -d 'Parts of an upload in flight at once; a download has twice as many [default: 4]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-part-size -d 'Size of one part of an upload or download [default: 16MiB]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-backlog -d 'After a save, make the pending uploads of earlier saves too [default: true]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-access-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-secret-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l s3-session-token -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l distribution -d 'The distribution: k3s or rke2 [default: detected]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -s d -l data-dir -d 'Data directory of K3s [default: that of the K3s configuration or service, else /var/lib/rancher/k3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l dir -d 'Snapshot directory [default: that of the K3s configuration, else DATA-DIR/server/db/snapshots]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -s c -l config -d 'Configuration file of K3s [default: $K3S_CONFIG_FILE, that of the K3s service, or /etc/rancher/k3s/config.yaml]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l unit -d 'K3s unit; its arguments and environment count like the K3s configuration [default: k3s.service, else the unit that runs K3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l token-file -d 'File with the server token [default: DATA-DIR/server/token]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l root -d 'Use the file system mounted at DIR instead of /; etcd is then contacted only with --etcd-endpoints' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l state-dir -d 'Directory of the manifests, which record verification results [default: /var/lib/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l run-dir -d 'Directory of the lock [default: /run/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l report -d 'Format of the result: text, or json with every detail' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l details -d 'Read the manifests in the bucket too (node, revision, token)'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l skip-without-etcd -d 'Exit successfully if this machine is not expected to have embedded etcd or SQLite (for timers)'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -l show-config -d 'Print the effective settings and their origin, then exit'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -s q -l quiet -d 'Print only warnings and errors'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -s v -l debug -d 'Print debug messages'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand list" -s V -l version -d 'Print version'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l max-age -d 'Greatest age of the newest verified snapshot: 90m, 25h, 7d [default: 25h]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3 -d 'Use the bucket too: save uploads to it, list shows it, restore downloads from it, prune and delete delete in it' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-endpoint -d 'Endpoint of the store: host, host:port or URL [default: s3.amazonaws.com]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-endpoint-ca -d 'CA certificates to trust instead of the system\'s: PEM files, or base64 of PEM' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-skip-ssl-verify -d 'Do not verify the server certificate (insecure)' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-access-key-file -d 'File with the access key [default: $AWS_ACCESS_KEY_ID, the systemd credential s3-access-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-secret-key-file -d 'File with the secret key [default: $AWS_SECRET_ACCESS_KEY, the systemd credential s3-secret-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-session-token-file -d 'File with the session token of temporary credentials' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-bucket -d 'Name of the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-bucket-lookup-type -d 'Bucket name in the host name (dns) or in the path (path) [default: auto]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-region -d 'Region of the bucket [default: us-east-1]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-folder -d 'Prefix in the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-insecure -d 'Use plain HTTP' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-timeout -d 'Abort a request after this long without progress [default: 5m]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-proxy -d 'HTTP proxy URL, or \'none\' [default: HTTPS_PROXY and NO_PROXY]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-storage-class -d 'Storage class of new objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-encryption -d 'Server-side encryption: AES256 or aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-kms-key-id -d 'Key ID for aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-customer-key-file -d 'File with a key of 32 bytes for SSE-C; K3s cannot read such objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-tags -d 'Tags of new objects: key=value,key=value' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-parallel -d 'Parts of an upload in flight at once; a download has twice as many [default: 4]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-part-size -d 'Size of one part of an upload or download [default: 16MiB]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-backlog -d 'After a save, make the pending uploads of earlier saves too [default: true]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-access-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-secret-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l s3-session-token -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l distribution -d 'The distribution: k3s or rke2 [default: detected]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -s d -l data-dir -d 'Data directory of K3s [default: that of the K3s configuration or service, else /var/lib/rancher/k3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l dir -d 'Snapshot directory [default: that of the K3s configuration, else DATA-DIR/server/db/snapshots]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -s c -l config -d 'Configuration file of K3s [default: $K3S_CONFIG_FILE, that of the K3s service, or /etc/rancher/k3s/config.yaml]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l unit -d 'K3s unit; its arguments and environment count like the K3s configuration [default: k3s.service, else the unit that runs K3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l token-file -d 'File with the server token [default: DATA-DIR/server/token]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l root -d 'Use the file system mounted at DIR instead of /; etcd is then contacted only with --etcd-endpoints' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l state-dir -d 'Directory of the manifests, which record verification results [default: /var/lib/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l run-dir -d 'Directory of the lock [default: /run/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l report -d 'Format of the result: text, or json with every detail' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l skip-without-etcd -d 'Exit successfully if this machine is not expected to have embedded etcd or SQLite (for timers)'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -l show-config -d 'Print the effective settings and their origin, then exit'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -s q -l quiet -d 'Print only warnings and errors'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -s v -l debug -d 'Print debug messages'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand status" -s V -l version -d 'Print version'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l sample -d 'With --all: verify N snapshots, chosen at random' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3 -d 'Use the bucket too: save uploads to it, list shows it, restore downloads from it, prune and delete delete in it' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-endpoint -d 'Endpoint of the store: host, host:port or URL [default: s3.amazonaws.com]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-endpoint-ca -d 'CA certificates to trust instead of the system\'s: PEM files, or base64 of PEM' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-skip-ssl-verify -d 'Do not verify the server certificate (insecure)' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-access-key-file -d 'File with the access key [default: $AWS_ACCESS_KEY_ID, the systemd credential s3-access-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-secret-key-file -d 'File with the secret key [default: $AWS_SECRET_ACCESS_KEY, the systemd credential s3-secret-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-session-token-file -d 'File with the session token of temporary credentials' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-bucket -d 'Name of the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-bucket-lookup-type -d 'Bucket name in the host name (dns) or in the path (path) [default: auto]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-region -d 'Region of the bucket [default: us-east-1]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-folder -d 'Prefix in the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-insecure -d 'Use plain HTTP' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-timeout -d 'Abort a request after this long without progress [default: 5m]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-proxy -d 'HTTP proxy URL, or \'none\' [default: HTTPS_PROXY and NO_PROXY]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-storage-class -d 'Storage class of new objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-encryption -d 'Server-side encryption: AES256 or aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-kms-key-id -d 'Key ID for aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-customer-key-file -d 'File with a key of 32 bytes for SSE-C; K3s cannot read such objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-tags -d 'Tags of new objects: key=value,key=value' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-parallel -d 'Parts of an upload in flight at once; a download has twice as many [default: 4]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-part-size -d 'Size of one part of an upload or download [default: 16MiB]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-backlog -d 'After a save, make the pending uploads of earlier saves too [default: true]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-access-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-secret-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l s3-session-token -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l distribution -d 'The distribution: k3s or rke2 [default: detected]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -s d -l data-dir -d 'Data directory of K3s [default: that of the K3s configuration or service, else /var/lib/rancher/k3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l dir -d 'Snapshot directory [default: that of the K3s configuration, else DATA-DIR/server/db/snapshots]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -s c -l config -d 'Configuration file of K3s [default: $K3S_CONFIG_FILE, that of the K3s service, or /etc/rancher/k3s/config.yaml]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l unit -d 'K3s unit; its arguments and environment count like the K3s configuration [default: k3s.service, else the unit that runs K3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l token-file -d 'File with the server token [default: DATA-DIR/server/token]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l root -d 'Use the file system mounted at DIR instead of /; etcd is then contacted only with --etcd-endpoints' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l state-dir -d 'Directory of the manifests, which record verification results [default: /var/lib/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l run-dir -d 'Directory of the lock [default: /run/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l report -d 'Format of the result: text, or json with every detail' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -s a -l all -d 'Verify everything in the snapshot directory, or with --s3 in the bucket'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l quick -d 'Check only the checksum (fast; does not mark the snapshot as verified)'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l skip-without-etcd -d 'Exit successfully if this machine is not expected to have embedded etcd or SQLite (for timers)'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -l show-config -d 'Print the effective settings and their origin, then exit'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -s q -l quiet -d 'Print only warnings and errors'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -s v -l debug -d 'Print debug messages'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand verify" -s V -l version -d 'Print version'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l name -d 'Prune snapshots named NAME-NODE-SECONDS; may be repeated [default: the base names of this program]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l node -d 'Prune the snapshots of another node' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l snapshot-retention -l keep-last -d 'Keep the newest N, 0 for all [default: as configured in K3s, else 5, if no --keep-* is set]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-retention -d 'Keep the newest N in the bucket [default: as configured in K3s, else as for the directory]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l keep-hourly -d 'Keep the newest of each of the last N hours with snapshots' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l keep-daily -d 'Keep the newest of each of the last N days with snapshots' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l keep-weekly -d 'Keep the newest of each of the last N weeks with snapshots' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l keep-monthly -d 'Keep the newest of each of the last N months with snapshots' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l keep-yearly -d 'Keep the newest of each of the last N years with snapshots' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l keep-within -d 'Keep snapshots within this duration of the newest one: 36h, 7d, 8w' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l timezone -d 'Time zone of the hourly to yearly rules, such as Europe/Berlin [default: that of the system]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l retry-lock -d 'Wait up to this long for the lock [default: fail immediately]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3 -d 'Use the bucket too: save uploads to it, list shows it, restore downloads from it, prune and delete delete in it' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-endpoint -d 'Endpoint of the store: host, host:port or URL [default: s3.amazonaws.com]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-endpoint-ca -d 'CA certificates to trust instead of the system\'s: PEM files, or base64 of PEM' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-skip-ssl-verify -d 'Do not verify the server certificate (insecure)' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-access-key-file -d 'File with the access key [default: $AWS_ACCESS_KEY_ID, the systemd credential s3-access-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-secret-key-file -d 'File with the secret key [default: $AWS_SECRET_ACCESS_KEY, the systemd credential s3-secret-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-session-token-file -d 'File with the session token of temporary credentials' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-bucket -d 'Name of the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-bucket-lookup-type -d 'Bucket name in the host name (dns) or in the path (path) [default: auto]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-region -d 'Region of the bucket [default: us-east-1]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-folder -d 'Prefix in the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-insecure -d 'Use plain HTTP' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-timeout -d 'Abort a request after this long without progress [default: 5m]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-proxy -d 'HTTP proxy URL, or \'none\' [default: HTTPS_PROXY and NO_PROXY]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-storage-class -d 'Storage class of new objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-encryption -d 'Server-side encryption: AES256 or aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-kms-key-id -d 'Key ID for aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-customer-key-file -d 'File with a key of 32 bytes for SSE-C; K3s cannot read such objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-tags -d 'Tags of new objects: key=value,key=value' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-parallel -d 'Parts of an upload in flight at once; a download has twice as many [default: 4]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-part-size -d 'Size of one part of an upload or download [default: 16MiB]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-backlog -d 'After a save, make the pending uploads of earlier saves too [default: true]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-access-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-secret-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l s3-session-token -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l distribution -d 'The distribution: k3s or rke2 [default: detected]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -s d -l data-dir -d 'Data directory of K3s [default: that of the K3s configuration or service, else /var/lib/rancher/k3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l dir -d 'Snapshot directory [default: that of the K3s configuration, else DATA-DIR/server/db/snapshots]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -s c -l config -d 'Configuration file of K3s [default: $K3S_CONFIG_FILE, that of the K3s service, or /etc/rancher/k3s/config.yaml]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l unit -d 'K3s unit; its arguments and environment count like the K3s configuration [default: k3s.service, else the unit that runs K3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l token-file -d 'File with the server token [default: DATA-DIR/server/token]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l root -d 'Use the file system mounted at DIR instead of /; etcd is then contacted only with --etcd-endpoints' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l state-dir -d 'Directory of the manifests, which record verification results [default: /var/lib/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l run-dir -d 'Directory of the lock [default: /run/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l report -d 'Format of the result: text, or json with every detail' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l all-nodes -d 'Prune the snapshots of all nodes, if their node is known'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l all-clusters -d 'Prune the snapshots of every cluster, each by itself, and those of an unknown cluster'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -s a -l all -d 'Prune every snapshot of the node except the scheduled ones of K3s'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l accept-drop -d 'Prune even if the number of key revisions dropped by more than half'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -s n -l dry-run -d 'Show what would be deleted and why; delete nothing'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l skip-without-etcd -d 'Exit successfully if this machine is not expected to have embedded etcd or SQLite (for timers)'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -l show-config -d 'Print the effective settings and their origin, then exit'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -s q -l quiet -d 'Print only warnings and errors'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -s v -l debug -d 'Print debug messages'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand prune" -s V -l version -d 'Print version'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l retry-lock -d 'Wait up to this long for the lock [default: fail immediately]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3 -d 'Use the bucket too: save uploads to it, list shows it, restore downloads from it, prune and delete delete in it' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-endpoint -d 'Endpoint of the store: host, host:port or URL [default: s3.amazonaws.com]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-endpoint-ca -d 'CA certificates to trust instead of the system\'s: PEM files, or base64 of PEM' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-skip-ssl-verify -d 'Do not verify the server certificate (insecure)' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-access-key-file -d 'File with the access key [default: $AWS_ACCESS_KEY_ID, the systemd credential s3-access-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-secret-key-file -d 'File with the secret key [default: $AWS_SECRET_ACCESS_KEY, the systemd credential s3-secret-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-session-token-file -d 'File with the session token of temporary credentials' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-bucket -d 'Name of the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-bucket-lookup-type -d 'Bucket name in the host name (dns) or in the path (path) [default: auto]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-region -d 'Region of the bucket [default: us-east-1]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-folder -d 'Prefix in the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-insecure -d 'Use plain HTTP' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-timeout -d 'Abort a request after this long without progress [default: 5m]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-proxy -d 'HTTP proxy URL, or \'none\' [default: HTTPS_PROXY and NO_PROXY]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-storage-class -d 'Storage class of new objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-encryption -d 'Server-side encryption: AES256 or aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-kms-key-id -d 'Key ID for aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-customer-key-file -d 'File with a key of 32 bytes for SSE-C; K3s cannot read such objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-tags -d 'Tags of new objects: key=value,key=value' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-parallel -d 'Parts of an upload in flight at once; a download has twice as many [default: 4]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-part-size -d 'Size of one part of an upload or download [default: 16MiB]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-backlog -d 'After a save, make the pending uploads of earlier saves too [default: true]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-access-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-secret-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l s3-session-token -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l distribution -d 'The distribution: k3s or rke2 [default: detected]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -s d -l data-dir -d 'Data directory of K3s [default: that of the K3s configuration or service, else /var/lib/rancher/k3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l dir -d 'Snapshot directory [default: that of the K3s configuration, else DATA-DIR/server/db/snapshots]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -s c -l config -d 'Configuration file of K3s [default: $K3S_CONFIG_FILE, that of the K3s service, or /etc/rancher/k3s/config.yaml]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l unit -d 'K3s unit; its arguments and environment count like the K3s configuration [default: k3s.service, else the unit that runs K3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l token-file -d 'File with the server token [default: DATA-DIR/server/token]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l root -d 'Use the file system mounted at DIR instead of /; etcd is then contacted only with --etcd-endpoints' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l state-dir -d 'Directory of the manifests, which record verification results [default: /var/lib/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l run-dir -d 'Directory of the lock [default: /run/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l report -d 'Format of the result: text, or json with every detail' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -s y -l yes -d 'Do not ask for confirmation'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l force -d 'Delete the last good snapshot of a group too'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l ignore-missing -d 'Ignore names that do not exist'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -s n -l dry-run -d 'Show what would be deleted; delete nothing'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -l show-config -d 'Print the effective settings and their origin, then exit'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -s q -l quiet -d 'Print only warnings and errors'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -s v -l debug -d 'Print debug messages'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand delete" -s V -l version -d 'Print version'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l before -d 'Restore the newest snapshot before TIME: \'2026-11-22 08:00\', RFC 3339, or seconds since the epoch' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l k3s-binary -d 'The K3s program that makes the new database, if the one of the unit is a wrapper or cannot be found' -r -F
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l ready-timeout -d 'Time limit for K3s to become ready [default: 10m]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l reset-timeout -d 'Abort the reset of K3s after this long without progress [default: 5m]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l server -d 'With --rejoin: the URL of the restored server [default: \'server\' of the K3s configuration]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l prune-old-databases -d 'Delete databases left by earlier restores, keeping the newest KEEP of each kind' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3 -d 'Use the bucket too: save uploads to it, list shows it, restore downloads from it, prune and delete delete in it' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-endpoint -d 'Endpoint of the store: host, host:port or URL [default: s3.amazonaws.com]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-endpoint-ca -d 'CA certificates to trust instead of the system\'s: PEM files, or base64 of PEM' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-skip-ssl-verify -d 'Do not verify the server certificate (insecure)' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-access-key-file -d 'File with the access key [default: $AWS_ACCESS_KEY_ID, the systemd credential s3-access-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-secret-key-file -d 'File with the secret key [default: $AWS_SECRET_ACCESS_KEY, the systemd credential s3-secret-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-session-token-file -d 'File with the session token of temporary credentials' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-bucket -d 'Name of the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-bucket-lookup-type -d 'Bucket name in the host name (dns) or in the path (path) [default: auto]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-region -d 'Region of the bucket [default: us-east-1]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-folder -d 'Prefix in the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-insecure -d 'Use plain HTTP' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-timeout -d 'Abort a request after this long without progress [default: 5m]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-proxy -d 'HTTP proxy URL, or \'none\' [default: HTTPS_PROXY and NO_PROXY]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-storage-class -d 'Storage class of new objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-encryption -d 'Server-side encryption: AES256 or aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-kms-key-id -d 'Key ID for aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-customer-key-file -d 'File with a key of 32 bytes for SSE-C; K3s cannot read such objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-tags -d 'Tags of new objects: key=value,key=value' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-parallel -d 'Parts of an upload in flight at once; a download has twice as many [default: 4]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-part-size -d 'Size of one part of an upload or download [default: 16MiB]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-backlog -d 'After a save, make the pending uploads of earlier saves too [default: true]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-access-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-secret-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l s3-session-token -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l distribution -d 'The distribution: k3s or rke2 [default: detected]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -s d -l data-dir -d 'Data directory of K3s [default: that of the K3s configuration or service, else /var/lib/rancher/k3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l dir -d 'Snapshot directory [default: that of the K3s configuration, else DATA-DIR/server/db/snapshots]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -s c -l config -d 'Configuration file of K3s [default: $K3S_CONFIG_FILE, that of the K3s service, or /etc/rancher/k3s/config.yaml]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l unit -d 'K3s unit; its arguments and environment count like the K3s configuration [default: k3s.service, else the unit that runs K3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l token-file -d 'File with the server token [default: DATA-DIR/server/token]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l root -d 'Use the file system mounted at DIR instead of /; etcd is then contacted only with --etcd-endpoints' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l state-dir -d 'Directory of the manifests, which record verification results [default: /var/lib/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l run-dir -d 'Directory of the lock [default: /run/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l report -d 'Format of the result: text, or json with every detail' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -s y -l yes -d 'Do not ask for confirmation'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -s n -l dry-run -d 'Show the plan; do nothing'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l force -d 'Restore even if the snapshot is from another cluster or a newer K3s'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l no-safety-snapshot -d 'Do not save the current state first'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l assume-others-stopped -d 'Proceed even if another server answers, or cannot be asked'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l keep-revisions -d 'Leave the revisions as they are in the snapshot; clients of other machines can then miss changes for hours'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l rehearse -d 'Start K3s aside on the new database first; fail if there is not enough memory [default: if memory allows]'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l no-rehearse -d 'Do not start K3s aside first'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l recover -d 'Finish an interrupted restore: recover its files, start K3s, and report'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l recover-files-only -d 'Recover the files of an interrupted restore without starting K3s'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l cluster-reset -d 'Reset the cluster to this server only, with its present data (the quorum is lost)'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l rejoin -d 'Rejoin the cluster: set the local database aside and join another server'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -l show-config -d 'Print the effective settings and their origin, then exit'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -s q -l quiet -d 'Print only warnings and errors'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -s v -l debug -d 'Print debug messages'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand restore" -s V -l version -d 'Print version'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l identity -d 'File with the private key that opens the recovery kit, of age or of SSH; - for standard input' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l kit -d 'Use the recovery kit in this file instead of the one that the snapshot names' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l cluster -d 'The cluster, if the bucket holds several: the beginning of its id, or the name of a server of it' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l node-name -d 'The name of this node [default: the host name]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l node-ip -d 'The address of this node; two with a comma for IPv4 and IPv6 [default: K3s chooses]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l k3s-binary -d 'The K3s program that makes the new database, if the one of the unit is a wrapper or cannot be found' -r -F
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l ready-timeout -d 'Time limit for K3s to become ready [default: 10m]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l reset-timeout -d 'Abort the reset of K3s after this long without progress [default: 5m]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3 -d 'Use the bucket too: save uploads to it, list shows it, restore downloads from it, prune and delete delete in it' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-endpoint -d 'Endpoint of the store: host, host:port or URL [default: s3.amazonaws.com]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-endpoint-ca -d 'CA certificates to trust instead of the system\'s: PEM files, or base64 of PEM' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-skip-ssl-verify -d 'Do not verify the server certificate (insecure)' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-access-key-file -d 'File with the access key [default: $AWS_ACCESS_KEY_ID, the systemd credential s3-access-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-secret-key-file -d 'File with the secret key [default: $AWS_SECRET_ACCESS_KEY, the systemd credential s3-secret-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-session-token-file -d 'File with the session token of temporary credentials' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-bucket -d 'Name of the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-bucket-lookup-type -d 'Bucket name in the host name (dns) or in the path (path) [default: auto]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-region -d 'Region of the bucket [default: us-east-1]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-folder -d 'Prefix in the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-insecure -d 'Use plain HTTP' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-timeout -d 'Abort a request after this long without progress [default: 5m]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-proxy -d 'HTTP proxy URL, or \'none\' [default: HTTPS_PROXY and NO_PROXY]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-storage-class -d 'Storage class of new objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-encryption -d 'Server-side encryption: AES256 or aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-kms-key-id -d 'Key ID for aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-customer-key-file -d 'File with a key of 32 bytes for SSE-C; K3s cannot read such objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-tags -d 'Tags of new objects: key=value,key=value' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-parallel -d 'Parts of an upload in flight at once; a download has twice as many [default: 4]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-part-size -d 'Size of one part of an upload or download [default: 16MiB]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-backlog -d 'After a save, make the pending uploads of earlier saves too [default: true]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-access-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-secret-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l s3-session-token -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l distribution -d 'The distribution: k3s or rke2 [default: detected]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -s d -l data-dir -d 'Data directory of K3s [default: that of the K3s configuration or service, else /var/lib/rancher/k3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l dir -d 'Snapshot directory [default: that of the K3s configuration, else DATA-DIR/server/db/snapshots]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -s c -l config -d 'Configuration file of K3s [default: $K3S_CONFIG_FILE, that of the K3s service, or /etc/rancher/k3s/config.yaml]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l unit -d 'K3s unit; its arguments and environment count like the K3s configuration [default: k3s.service, else the unit that runs K3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l token-file -d 'File with the server token [default: DATA-DIR/server/token]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l root -d 'Use the file system mounted at DIR instead of /; etcd is then contacted only with --etcd-endpoints' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l state-dir -d 'Directory of the manifests, which record verification results [default: /var/lib/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l run-dir -d 'Directory of the lock [default: /run/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l report -d 'Format of the result: text, or json with every detail' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l overwrite -d 'Replace files of the configuration of K3s that exist and differ from the kit'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l if-empty -d 'Do nothing if this machine has a datastore; finish a rebuild that was interrupted'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -s y -l yes -d 'Do not ask for confirmation'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -s n -l dry-run -d 'Show what would be written and restored; do nothing'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l force -d 'Use a snapshot that is not known to be authentic, or is from a newer K3s'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l assume-others-stopped -d 'Proceed even if another server of the cluster answers, or cannot be asked'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l no-rehearse -d 'Do not start K3s aside first'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -l show-config -d 'Print the effective settings and their origin, then exit'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -s q -l quiet -d 'Print only warnings and errors'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -s v -l debug -d 'Print debug messages'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand rebuild" -s V -l version -d 'Print version'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l identity -d 'File with the private key, of age or of SSH; - for standard input. With init: the file to write' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3 -d 'Use the bucket too: save uploads to it, list shows it, restore downloads from it, prune and delete delete in it' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-endpoint -d 'Endpoint of the store: host, host:port or URL [default: s3.amazonaws.com]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-endpoint-ca -d 'CA certificates to trust instead of the system\'s: PEM files, or base64 of PEM' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-skip-ssl-verify -d 'Do not verify the server certificate (insecure)' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-access-key-file -d 'File with the access key [default: $AWS_ACCESS_KEY_ID, the systemd credential s3-access-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-secret-key-file -d 'File with the secret key [default: $AWS_SECRET_ACCESS_KEY, the systemd credential s3-secret-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-session-token-file -d 'File with the session token of temporary credentials' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-bucket -d 'Name of the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-bucket-lookup-type -d 'Bucket name in the host name (dns) or in the path (path) [default: auto]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-region -d 'Region of the bucket [default: us-east-1]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-folder -d 'Prefix in the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-insecure -d 'Use plain HTTP' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-timeout -d 'Abort a request after this long without progress [default: 5m]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-proxy -d 'HTTP proxy URL, or \'none\' [default: HTTPS_PROXY and NO_PROXY]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-storage-class -d 'Storage class of new objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-encryption -d 'Server-side encryption: AES256 or aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-kms-key-id -d 'Key ID for aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-customer-key-file -d 'File with a key of 32 bytes for SSE-C; K3s cannot read such objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-tags -d 'Tags of new objects: key=value,key=value' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-parallel -d 'Parts of an upload in flight at once; a download has twice as many [default: 4]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-part-size -d 'Size of one part of an upload or download [default: 16MiB]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-backlog -d 'After a save, make the pending uploads of earlier saves too [default: true]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-access-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-secret-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l s3-session-token -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l distribution -d 'The distribution: k3s or rke2 [default: detected]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -s d -l data-dir -d 'Data directory of K3s [default: that of the K3s configuration or service, else /var/lib/rancher/k3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l dir -d 'Snapshot directory [default: that of the K3s configuration, else DATA-DIR/server/db/snapshots]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -s c -l config -d 'Configuration file of K3s [default: $K3S_CONFIG_FILE, that of the K3s service, or /etc/rancher/k3s/config.yaml]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l unit -d 'K3s unit; its arguments and environment count like the K3s configuration [default: k3s.service, else the unit that runs K3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l token-file -d 'File with the server token [default: DATA-DIR/server/token]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l root -d 'Use the file system mounted at DIR instead of /; etcd is then contacted only with --etcd-endpoints' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l state-dir -d 'Directory of the manifests, which record verification results [default: /var/lib/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l run-dir -d 'Directory of the lock [default: /run/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l report -d 'Format of the result: text, or json with every detail' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -l show-config -d 'Print the effective settings and their origin, then exit'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -s q -l quiet -d 'Print only warnings and errors'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -s v -l debug -d 'Print debug messages'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand kit" -s V -l version -d 'Print version'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3 -d 'Use the bucket too: save uploads to it, list shows it, restore downloads from it, prune and delete delete in it' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-endpoint -d 'Endpoint of the store: host, host:port or URL [default: s3.amazonaws.com]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-endpoint-ca -d 'CA certificates to trust instead of the system\'s: PEM files, or base64 of PEM' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-skip-ssl-verify -d 'Do not verify the server certificate (insecure)' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-access-key-file -d 'File with the access key [default: $AWS_ACCESS_KEY_ID, the systemd credential s3-access-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-secret-key-file -d 'File with the secret key [default: $AWS_SECRET_ACCESS_KEY, the systemd credential s3-secret-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-session-token-file -d 'File with the session token of temporary credentials' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-bucket -d 'Name of the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-bucket-lookup-type -d 'Bucket name in the host name (dns) or in the path (path) [default: auto]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-region -d 'Region of the bucket [default: us-east-1]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-folder -d 'Prefix in the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-insecure -d 'Use plain HTTP' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-timeout -d 'Abort a request after this long without progress [default: 5m]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-proxy -d 'HTTP proxy URL, or \'none\' [default: HTTPS_PROXY and NO_PROXY]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-storage-class -d 'Storage class of new objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-encryption -d 'Server-side encryption: AES256 or aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-kms-key-id -d 'Key ID for aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-customer-key-file -d 'File with a key of 32 bytes for SSE-C; K3s cannot read such objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-tags -d 'Tags of new objects: key=value,key=value' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-parallel -d 'Parts of an upload in flight at once; a download has twice as many [default: 4]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-part-size -d 'Size of one part of an upload or download [default: 16MiB]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-backlog -d 'After a save, make the pending uploads of earlier saves too [default: true]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-access-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-secret-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l s3-session-token -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l distribution -d 'The distribution: k3s or rke2 [default: detected]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -s d -l data-dir -d 'Data directory of K3s [default: that of the K3s configuration or service, else /var/lib/rancher/k3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l dir -d 'Snapshot directory [default: that of the K3s configuration, else DATA-DIR/server/db/snapshots]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -s c -l config -d 'Configuration file of K3s [default: $K3S_CONFIG_FILE, that of the K3s service, or /etc/rancher/k3s/config.yaml]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l unit -d 'K3s unit; its arguments and environment count like the K3s configuration [default: k3s.service, else the unit that runs K3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l token-file -d 'File with the server token [default: DATA-DIR/server/token]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l root -d 'Use the file system mounted at DIR instead of /; etcd is then contacted only with --etcd-endpoints' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l state-dir -d 'Directory of the manifests, which record verification results [default: /var/lib/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l run-dir -d 'Directory of the lock [default: /run/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l report -d 'Format of the result: text, or json with every detail' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -l show-config -d 'Print the effective settings and their origin, then exit'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -s q -l quiet -d 'Print only warnings and errors'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -s v -l debug -d 'Print debug messages'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand fetch" -s V -l version -d 'Print version'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3 -d 'Use the bucket too: save uploads to it, list shows it, restore downloads from it, prune and delete delete in it' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-endpoint -d 'Endpoint of the store: host, host:port or URL [default: s3.amazonaws.com]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-endpoint-ca -d 'CA certificates to trust instead of the system\'s: PEM files, or base64 of PEM' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-skip-ssl-verify -d 'Do not verify the server certificate (insecure)' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-access-key-file -d 'File with the access key [default: $AWS_ACCESS_KEY_ID, the systemd credential s3-access-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-secret-key-file -d 'File with the secret key [default: $AWS_SECRET_ACCESS_KEY, the systemd credential s3-secret-key, ...]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-session-token-file -d 'File with the session token of temporary credentials' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-bucket -d 'Name of the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-bucket-lookup-type -d 'Bucket name in the host name (dns) or in the path (path) [default: auto]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-region -d 'Region of the bucket [default: us-east-1]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-folder -d 'Prefix in the bucket' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-insecure -d 'Use plain HTTP' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-timeout -d 'Abort a request after this long without progress [default: 5m]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-proxy -d 'HTTP proxy URL, or \'none\' [default: HTTPS_PROXY and NO_PROXY]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-storage-class -d 'Storage class of new objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-encryption -d 'Server-side encryption: AES256 or aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-kms-key-id -d 'Key ID for aws:kms' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-customer-key-file -d 'File with a key of 32 bytes for SSE-C; K3s cannot read such objects' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-tags -d 'Tags of new objects: key=value,key=value' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-parallel -d 'Parts of an upload in flight at once; a download has twice as many [default: 4]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-part-size -d 'Size of one part of an upload or download [default: 16MiB]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-backlog -d 'After a save, make the pending uploads of earlier saves too [default: true]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-access-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-secret-key -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l s3-session-token -d 'The value itself, as K3s takes it; the process list shows it: prefer the -file option' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l distribution -d 'The distribution: k3s or rke2 [default: detected]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -s d -l data-dir -d 'Data directory of K3s [default: that of the K3s configuration or service, else /var/lib/rancher/k3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l dir -d 'Snapshot directory [default: that of the K3s configuration, else DATA-DIR/server/db/snapshots]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -s c -l config -d 'Configuration file of K3s [default: $K3S_CONFIG_FILE, that of the K3s service, or /etc/rancher/k3s/config.yaml]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l unit -d 'K3s unit; its arguments and environment count like the K3s configuration [default: k3s.service, else the unit that runs K3s]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l token-file -d 'File with the server token [default: DATA-DIR/server/token]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l root -d 'Use the file system mounted at DIR instead of /; etcd is then contacted only with --etcd-endpoints' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l state-dir -d 'Directory of the manifests, which record verification results [default: /var/lib/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l run-dir -d 'Directory of the lock [default: /run/k3s-snapshot]' -r
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l report -d 'Format of the result: text, or json with every detail' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -l show-config -d 'Print the effective settings and their origin, then exit'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -s q -l quiet -d 'Print only warnings and errors'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -s v -l debug -d 'Print debug messages'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand check-s3" -s V -l version -d 'Print version'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand help; and not __fish_seen_subcommand_from save list status verify prune delete restore rebuild kit fetch check-s3 help" -f -a "save" -d 'Save a verified snapshot of the etcd of K3s'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand help; and not __fish_seen_subcommand_from save list status verify prune delete restore rebuild kit fetch check-s3 help" -f -a "list" -d 'List snapshots and their state'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand help; and not __fish_seen_subcommand_from save list status verify prune delete restore rebuild kit fetch check-s3 help" -f -a "status" -d 'Show the state of the snapshots, the jobs and etcd, and the reasons to act'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand help; and not __fish_seen_subcommand_from save list status verify prune delete restore rebuild kit fetch check-s3 help" -f -a "verify" -d 'Verify snapshots: read every byte and report what is wrong'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand help; and not __fish_seen_subcommand_from save list status verify prune delete restore rebuild kit fetch check-s3 help" -f -a "prune" -d 'Apply the retention policy: delete snapshots that no rule keeps'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand help; and not __fish_seen_subcommand_from save list status verify prune delete restore rebuild kit fetch check-s3 help" -f -a "delete" -d 'Delete snapshots by name'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand help; and not __fish_seen_subcommand_from save list status verify prune delete restore rebuild kit fetch check-s3 help" -f -a "restore" -d 'Restore K3s from a snapshot, with automatic rollback'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand help; and not __fish_seen_subcommand_from save list status verify prune delete restore rebuild kit fetch check-s3 help" -f -a "rebuild" -d 'Rebuild a lost server on this machine, from the bucket and one private key'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand help; and not __fish_seen_subcommand_from save list status verify prune delete restore rebuild kit fetch check-s3 help" -f -a "kit" -d 'Make the keys of recovery kits, and verify that a kit can be opened'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand help; and not __fish_seen_subcommand_from save list status verify prune delete restore rebuild kit fetch check-s3 help" -f -a "fetch" -d 'Download a snapshot from the bucket and verify it'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand help; and not __fish_seen_subcommand_from save list status verify prune delete restore rebuild kit fetch check-s3 help" -f -a "check-s3" -d 'Test access to the S3 bucket and suggest fixes'
complete -c k3s-snapshot -n "__fish_k3s_snapshot_using_subcommand help; and not __fish_seen_subcommand_from save list status verify prune delete restore rebuild kit fetch check-s3 help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
