module etcd-for-tests

go 1.14

require go.etcd.io/etcd v0.5.0-alpha.5.0.20200910180754-dd1b699fc489
