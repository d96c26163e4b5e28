// argolua runs a script as Argo CD runs its health checks and resource actions: with the same Lua, the same few libraries
// and the resource as the global `obj`. `argolua FILE`: FILE is a JSON list of {script, obj}; it prints a JSON list of what
// the scripts return, or of {error}.
//
// https://github.com/argoproj/argo-cd/blob/master/util/lua/lua.go
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	lua "github.com/yuin/gopher-lua"
	luajson "layeh.com/gopher-json"
)

// patience is what Argo CD gives a script.
const patience = time.Second

type job struct {
	Script string `json:"script"`
	Obj    any    `json:"obj"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "argolua:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 1 {
		return fmt.Errorf("usage: argolua FILE")
	}
	text, err := os.ReadFile(arguments[0])
	if err != nil {
		return err
	}
	var jobs []job
	if err := json.Unmarshal(text, &jobs); err != nil {
		return err
	}
	answers := make([]json.RawMessage, 0, len(jobs))
	for _, one := range jobs {
		answer, err := returned(one)
		if err != nil {
			answer, err = json.Marshal(map[string]string{"error": err.Error()})
		}
		if err != nil {
			return err
		}
		answers = append(answers, answer)
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

// returned is the table that a script returns. Nothing else is an answer to Argo CD.
func returned(one job) ([]byte, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
		lua.OsLibName: openSafeOs,
	} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", luajson.DecodeValue(state, one.Obj))
	if err := state.DoString(one.Script); err != nil {
		return nil, err
	}
	if answer := state.Get(-1); answer.Type() == lua.LTTable {
		return luajson.Encode(answer)
	} else {
		return nil, fmt.Errorf("the script returns no table, but %s", answer.Type())
	}
}

// openSafeOs has what Argo CD leaves of the library os: time and date.
func openSafeOs(state *lua.LState) int {
	full := state.NewFunction(lua.OpenOs)
	state.Push(full)
	state.Push(lua.LString(lua.OsLibName))
	state.Call(1, 1)
	whole := state.CheckTable(-1)
	state.Pop(1)
	safe := state.NewTable()
	for _, name := range []string{"time", "date"} {
		safe.RawSetString(name, whole.RawGetString(name))
	}
	state.SetGlobal(lua.OsLibName, safe)
	state.SetField(state.GetField(state.Get(lua.RegistryIndex), "_LOADED"), lua.OsLibName, safe)
	state.Push(safe)
	return 1
}
