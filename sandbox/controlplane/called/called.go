// Package called runs one of several programs in one binary, by the name that the binary is called by.
package called

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Programs maps a program's name to what runs it and returns its exit code. Each reads os.Args as if it were alone.
type Programs map[string]func() int

// Run never returns. The program is that of the link by which the binary is called (a link named kubectl is kubectl),
// or else of the first argument: "controlplane kube-apiserver --help".
func Run(programs Programs) {
	run, args, ok := choose(programs, os.Args)
	if !ok {
		fmt.Fprintf(os.Stderr, "usage: %s PROGRAM [ARGUMENTS]\nPROGRAM is one of: %s\n",
			filepath.Base(os.Args[0]), strings.Join(names(programs), ", "))
		os.Exit(2)
	}
	os.Args = args
	os.Exit(run())
}

// choose returns the program that args ask for and the arguments as that program expects them.
func choose(programs Programs, args []string) (run func() int, rest []string, ok bool) {
	if run, ok = programs[filepath.Base(args[0])]; ok {
		return run, args, true
	}
	if len(args) > 1 {
		run, ok = programs[args[1]]
		return run, args[1:], ok
	}
	return nil, nil, false
}

func names(programs Programs) []string {
	all := make([]string, 0, len(programs))
	for name := range programs {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
