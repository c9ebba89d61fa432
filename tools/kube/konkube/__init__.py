"""A real kube-apiserver on a real etcd, without a cluster around them, for tools/cluster, tests/e2e/kube and benches.

    build      finds the programs, or builds them from Go modules once a machine
    overlay    the wall clock that a test can set wrong
    certs      certificates and keys, made with the openssl command
    keeper     the process that all servers are children of; when it ends, or its owner does, they end
    layout     files and command lines
    rest       one HTTPS request
    cluster    class Cluster: start, stop, break, ask
    audit      what the servers logged about requests
    pod        the inside of a pod: mounted token, environment
    cli        the command line of tools/cluster
"""
