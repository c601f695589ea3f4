complete -c k3s-snapshot-delete -l retry-lock -d 'Wait this long for another run to end [default: not at all]' -r
complete -c k3s-snapshot-delete -s d -l data-dir -d 'K3s\'s data-dir [default: /var/lib/rancher/k3s, or what K3s\'s configuration or unit says]' -r
complete -c k3s-snapshot-delete -l dir -d 'The snapshot folder [default: DATA-DIR/server/db/snapshots, or what K3s\'s configuration says]' -r
complete -c k3s-snapshot-delete -s c -l config -d 'K3s\'s configuration file [default: $K3S_CONFIG_FILE, what K3s\'s unit names, or /etc/rancher/k3s/config.yaml]' -r
complete -c k3s-snapshot-delete -l unit -d 'K3s\'s unit, whose flags and environment count as K3s\'s configuration does [default: k3s.service, else the one that runs K3s]' -r
complete -c k3s-snapshot-delete -l token-file -d 'The file that holds the server token, for the Token column [default: DATA-DIR/server/token]' -r
complete -c k3s-snapshot-delete -l root -d 'Work on the machine whose file system is mounted here; etcd is then contacted only if --etcd-endpoints names it' -r
complete -c k3s-snapshot-delete -l state-dir -d 'Where the manifests are kept, which remember what was proven [default: /var/lib/k3s-snapshot]' -r
complete -c k3s-snapshot-delete -l run-dir -d 'Where the lock is kept [default: /run/k3s-snapshot]' -r
complete -c k3s-snapshot-delete -l report -d 'How to report the result: text, or json with everything (see k3s-snapshot(7))' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c k3s-snapshot-delete -s y -l yes -d 'Do not ask'
complete -c k3s-snapshot-delete -l force -d 'Delete the last good snapshot of a group too'
complete -c k3s-snapshot-delete -l ignore-missing -d 'Pass over names that do not exist'
complete -c k3s-snapshot-delete -s n -l dry-run -d 'Show what would be done, and delete nothing'
complete -c k3s-snapshot-delete -l explain -d 'Print every effective setting and where it was said, then end'
complete -c k3s-snapshot-delete -s q -l quiet -d 'Say nothing but warnings and errors, and show no progress'
complete -c k3s-snapshot-delete -l debug -d 'Say more'
complete -c k3s-snapshot-delete -s h -l help -d 'Print help (see more with \'--help\')'
complete -c k3s-snapshot-delete -s V -l version -d 'Print version'
