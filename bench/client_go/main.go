// Program client_go is one candidate of client-go's leader election, with its usual manners: the contender of the
// benchmarks and the neighbour of the tests. It writes what happens to it as JSON lines with the boot clock, as
// konductor's event log does:
//
//	{"event":"leader","identity":"me","leader":"other","t_us":1}    it has heard of another leader
//	{"event":"start","identity":"me","t_us":2}                      it leads: work would begin here
//	{"event":"stop","identity":"me","t_us":3}                       its work has ended
//
// SIGTERM ends its work, then releases the Lease, as client-go asks of programs that use ReleaseOnCancel. A leader that
// loses the Lease ends with 1, as controllers do.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

type options struct {
	kubeconfig, namespace, name, identity, events string
	lease, renew, retry                           time.Duration
}

func parse() options {
	var o options
	flag.StringVar(&o.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "file")
	flag.StringVar(&o.namespace, "namespace", "default", "of the Lease")
	flag.StringVar(&o.name, "name", "boss", "of the Lease")
	flag.StringVar(&o.identity, "identity", "", "of this candidate")
	flag.StringVar(&o.events, "events", "/dev/stdout", "file to append events to")
	flag.DurationVar(&o.lease, "lease-duration", 15*time.Second, "LeaseDuration")
	flag.DurationVar(&o.renew, "renew-deadline", 10*time.Second, "RenewDeadline")
	flag.DurationVar(&o.retry, "retry-period", 2*time.Second, "RetryPeriod")
	flag.Parse()
	return o
}

// journal writes events. Work begins and ends once: after stop there is no start, however late that comes.
type journal struct {
	mutex          sync.Mutex
	file           *os.File
	identity       string
	working, ended bool
}

func (j *journal) write(event string, leader string) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic(err)
	}
	line, err := json.Marshal(struct {
		Event    string `json:"event"`
		Identity string `json:"identity"`
		Leader   string `json:"leader,omitempty"`
		Micros   int64  `json:"t_us"`
	}{event, j.identity, leader, now.Nano() / 1000})
	if err != nil {
		panic(err)
	}
	if _, err = j.file.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}

func (j *journal) start() {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if !j.ended {
		j.working = true
		j.write("start", "")
	}
}

func (j *journal) stop() {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if j.working {
		j.write("stop", "")
	}
	j.working, j.ended = false, true
}

func (j *journal) leader(identity string) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.write("leader", identity)
}

func elect(ctx context.Context, o options, j *journal) error {
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return err
	}
	client, err := coordination.NewForConfig(config)
	if err != nil {
		return err
	}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: o.namespace, Name: o.name},
			Client:     client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: o.identity},
		},
		LeaseDuration:   o.lease,
		RenewDeadline:   o.renew,
		RetryPeriod:     o.retry,
		ReleaseOnCancel: true,
		Name:            o.name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { j.start() },
			OnStoppedLeading: func() {},
			OnNewLeader:      j.leader,
		},
	})
	if err != nil {
		return err
	}
	elector.Run(ctx)
	return nil
}

func main() {
	o := parse()
	file, err := os.OpenFile(o.events, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		klog.Exit(err)
	}
	j := &journal{file: file, identity: o.identity}
	ctx, cancel := context.WithCancel(context.Background())
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-terms
		j.stop()
		cancel()
	}()
	err = elect(ctx, o, j)
	asked := ctx.Err() != nil
	j.stop()
	if err != nil {
		klog.Exit(err)
	}
	if !asked {
		klog.Exit("lost the Lease")
	}
}
