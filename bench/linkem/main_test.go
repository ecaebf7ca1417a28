package main

import "testing"

func TestWhatPingSays(t *testing.T) {
	out := []byte("300 packets transmitted, 297 received, 1% packet loss, time 3007ms\nrtt min/avg/max/mdev = 10.133/10.200/11.092/0.132 ms, pipe 2\n")
	times, err := numbers(pingTimes, out)
	if err != nil || times[0] != 10.133 || times[1] != 10.2 {
		t.Errorf("times %v, %v", times, err)
	}
	lost, err := numbers(pingLost, out)
	if err != nil || lost[0] != 1 {
		t.Errorf("lost %v, %v", lost, err)
	}
	if _, err := numbers(pingTimes, []byte("connect: Network is unreachable")); err == nil {
		t.Error("no times were found in an error")
	}
}
