package plain

import "github.com/wherry/wherry/vmm/linux/abi"

// ID is of the process and of its first thread.
const ID = 1

// one is what has one answer: there is one process, one user who may do all, memory that stays, and turns that nobody changes.
var one = map[abi.Call]Call{
	abi.SYS_SETRLIMIT:              {nothing, "dx"},
	abi.SYS_GETPID:                 {getpid, ""},
	abi.SYS_GETPGRP:                {getpid, ""},
	abi.SYS_GETPGID:                {getpid, "d"},
	abi.SYS_GETSID:                 {getpid, "d"},
	abi.SYS_SETSID:                 {getpid, ""},
	abi.SYS_SETPGID:                {nothing, "dd"},
	abi.SYS_GETPPID:                {nothing, ""},
	abi.SYS_GETUID:                 {nothing, ""},
	abi.SYS_GETEUID:                {nothing, ""},
	abi.SYS_GETGID:                 {nothing, ""},
	abi.SYS_GETEGID:                {nothing, ""},
	abi.SYS_SETUID:                 {nothing, "d"},
	abi.SYS_SETGID:                 {nothing, "d"},
	abi.SYS_SETREUID:               {nothing, "dd"},
	abi.SYS_SETREGID:               {nothing, "dd"},
	abi.SYS_SETRESUID:              {nothing, "ddd"},
	abi.SYS_SETRESGID:              {nothing, "ddd"},
	abi.SYS_SETGROUPS:              {nothing, "dx"},
	abi.SYS_GETGROUPS:              {nothing, "dx"},
	abi.SYS_SETFSUID:               {nothing, "d"},
	abi.SYS_SETFSGID:               {nothing, "d"},
	abi.SYS_WAIT4:                  {noChild, "dxxx"},
	abi.SYS_WAITID:                 {noChild, "ddxxx"},
	abi.SYS_SYNC:                   {nothing, ""},
	abi.SYS_SYNCFS:                 {nothing, "d"},
	abi.SYS_SYNC_FILE_RANGE:        {nothing, "dllx"},
	abi.SYS_READAHEAD:              {nothing, "dld"},
	abi.SYS_MLOCKALL:               {nothing, "x"},
	abi.SYS_MUNLOCKALL:             {nothing, ""},
	abi.SYS_MSYNC:                  {nothing, "xxx"},
	abi.SYS_MLOCK:                  {nothing, "xx"},
	abi.SYS_MLOCK2:                 {nothing, "xxx"},
	abi.SYS_MUNLOCK:                {nothing, "xx"},
	abi.SYS_SCHED_SETAFFINITY:      {nothing, "ddx"},
	abi.SYS_SCHED_GETSCHEDULER:     {nothing, "d"},
	abi.SYS_SCHED_SETSCHEDULER:     {nothing, "ddx"},
	abi.SYS_SCHED_GET_PRIORITY_MAX: {nothing, "d"},
	abi.SYS_SCHED_GET_PRIORITY_MIN: {nothing, "d"},
	abi.SYS_SETPRIORITY:            {nothing, "ddd"},
	abi.SYS_FADVISE64:              {nothing, "dlld"},
}

func nothing(Process, *Args) (uint64, abi.Errno) { return 0, 0 }

func noChild(Process, *Args) (uint64, abi.Errno) { return 0, abi.ECHILD }

func getpid(Process, *Args) (uint64, abi.Errno) { return ID, 0 }
