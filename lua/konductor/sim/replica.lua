--- One replica of a script in a simulated world: what `konductor run` is there.
---
--- The script is loaded and run by the same code as for real, over the world that it is given; of the machine it
--- reaches nothing (context.sealed, see script.lua).

local failure = require "konductor.failure"
local runner = require "konductor.runner"
local script = require "konductor.script"

local M = {}

local GRACE_MS = 25000

---@class konductor.sim.Script
---@field text string
---@field chunkname string                     as loadstring wants it
---@field dir? string                          where its modules lie
---@field environ table<string, string>        all that k.env finds
---@field command? string[]                    what stands behind "--"
---@field json table                           encode, decode, array
---@field read_file fun(path: string): string?, string?, string?
---@field exit_code fun(word: string): integer?
---@field make fun(context: konductor.ScriptContext): table   makes the library, `new` of the module konductor

--- How far a replica has come.
---@class konductor.sim.Seat
---@field program? konductor.Program  once the script is loaded
---@field init_done? boolean          stages and onces are done; what is left is the main
---@field mistakes? string[]          of the script; nothing of it was run
---@field raised? string              what it raised by itself, behind a call that waits

local function context_of(of, w, process, seat)
  return {
    world = w, environ = of.environ, command = of.command, json = of.json, read_file = of.read_file,
    exit_code = of.exit_code, make = of.make, chunkname = of.chunkname, dir = of.dir, planning = false,
    grace_ms = GRACE_MS, sealed = true,
    signal = function() return process().stop_signal end,
    on_phase = function() seat.init_done = true end,
  }
end

-- The exit code of what a script raised behind a waiting call.
local function code_of_failure(of, raised)
  return raised.exit or raised.code and of.exit_code(raised.code) or of.exit_code "script"
end

--- The first task of a replica; its value is the exit code.
---@param of konductor.sim.Script
---@param process fun(): konductor.sim.Process  the one that runs it
---@param seat konductor.sim.Seat  filled in
---@return fun(w: konductor.World): integer
function M.main(of, process, seat)
  return function(w)
    local context = context_of(of, w, process, seat)
    local loaded = script.load(context, of.text)
    if loaded.mistakes then
      seat.mistakes = loaded.mistakes
      return of.exit_code "script"
    elseif loaded.failure then
      w.log("error", loaded.failure.sentence)
      if not failure.is(loaded.failure) then
        seat.raised = loaded.failure.sentence
      end
      return code_of_failure(of, loaded.failure)
    elseif context.signal() then
      return 128 + context.signal()
    end
    seat.program = loaded.program
    return runner.run(context)
  end
end

return M
