package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
)

// nativeCalls asks one process of a program many times, through pipes, and returns its CPU microseconds a call, the process's own
// beginning taken off by asking a second one once.
func nativeCalls(program string, request []byte, calls int) (float64, error) {
	many, err := nativeTime(program, request, calls)
	if err != nil {
		return 0, err
	}
	once, err := nativeTime(program, request, 1)
	return (many - once) / float64(calls-1) * 1e6, err
}

// nativeTime is the CPU time in seconds of a process that answers request so many times.
func nativeTime(program string, request []byte, calls int) (float64, error) {
	cmd := exec.Command(program)
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	answers := bufio.NewReader(out)
	for range calls {
		if _, err = in.Write(request); err != nil {
			break
		}
		if err = readAnswer(answers); err != nil {
			break
		}
	}
	err = errors.Join(err, in.Close())
	if werr := cmd.Wait(); werr != nil {
		err = errors.Join(err, fmt.Errorf("%s: %w", program, werr))
	}
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), err
}

func readAnswer(r *bufio.Reader) error {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("the program answered %s", resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// cpuTime runs a command to its end and returns its CPU time in seconds and its output.
func cpuTime(name string, args ...string) (float64, string, error) {
	cmd := exec.Command(name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return 0, "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, errs.String())
	}
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), out.String(), nil
}

// output runs a command with in as its input.
func output(in []byte, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, errs.String())
	}
	return out.Bytes(), nil
}
