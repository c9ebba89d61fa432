---@meta konductor
-- luacheck: ignore 212 241
--- The library of policy scripts, described for editors: put the folder lua/ of the source into
--- lua-language-server's "workspace.library", and `require "konductor"` completes and checks.
--- This file is never loaded; tests/lua/library_spec.lua keeps it in step with the code.
--- docs/reference/lua.md explains what stands here in a word each.

---@class konductor
---@field command string[]   the command behind "--"; a script that reads it sees to it itself
---@field holder string      name of this replica, for people
---@field session string     32 hex digits, new with each start of this process
local k = {}

---A duration: "15s", "1h30m", "500ms", "1.5h".
---@alias konductor.Duration string

---A command: its words, the program first. Whole numbers are spelled out.
---@alias konductor.Argv (string|integer)[]

---What a function under a hold is given.
---@class konductor.Working
---@field token integer     fencing number; hand it to what the work writes to
---@field name string       of the object
---@field stage? string     in a stage
---@field version? string   of a stage or once
---@field attempt? integer  of a stage or once, from 1
local Working = {}

---As k.exec.
---@param command konductor.Exec
---@return konductor.Result
function Working:exec(command) end

---@type konductor.LogFunctions
Working.log = nil

-- Flows -----------------------------------------------------------------------------------

---@class konductor.StageOptions
---@field run konductor.Argv|fun(ctx: konductor.Working)
---@field after? string|string[]          stages that must be done first
---@field version? string                 done again when it changes, and never twice for the same
---@field timeout? konductor.Duration     of one run; then it is ended, and counts as failed with 124
---@field retries? integer                after a failure; default 3
---@field backoff? konductor.Duration     before the first retry, doubled for each further one; default "1s"
---@field ttl? konductor.Duration         how long the record of it is kept; default: for ever
---@field hold? konductor.Duration        time to live of the claim while it runs; default "15s"
---@field mode? "AtLeastOnce"|"AtMostOnce"  "AtMostOnce": never tried again, also not when nobody knows whether it ran
---@field object? string                  name of its record; default "FLOW.STAGE"
---@field env? table<string, string|integer|boolean>  more variables of its commands; a boolean is 1 or 0
---@field cwd? string                     their working directory
---@field grace? konductor.Duration       between TERM and KILL; default --grace

---@class konductor.Stage

---Options for all stages that do not say otherwise, and stages and a main in any order.
---@class konductor.FlowOptions
---@field version? string
---@field timeout? konductor.Duration
---@field retries? integer
---@field backoff? konductor.Duration
---@field ttl? konductor.Duration
---@field hold? konductor.Duration
---@field mode? "AtLeastOnce"|"AtMostOnce"
---@field env? table<string, string|integer|boolean>
---@field cwd? string
---@field grace? konductor.Duration
---@field [integer] konductor.Stage|konductor.Main  in any order

---Stages that are each done once, in their order, and then a main.
---@param name string
---@return fun(parts: konductor.FlowOptions)
function k.flow(name) end

---A step of a flow.
---@param name string
---@return fun(options: konductor.StageOptions): konductor.Stage
function k.stage(name) end

---@class konductor.Main

---@class konductor.MainOptions
---@field env? table<string, string|integer|boolean>
---@field cwd? string
---@field [integer] string|integer  the command

---The program that runs when the stages are done, in every replica. Without words: the command
---behind "--".
---@param command? konductor.MainOptions
---@return konductor.Main
function k.main(command) end

-- Onces -----------------------------------------------------------------------------------

---@class konductor.OnceOptions
---@field run konductor.Argv|fun(ctx: konductor.Working)
---@field version? string
---@field timeout? konductor.Duration
---@field retries? integer
---@field backoff? konductor.Duration
---@field ttl? konductor.Duration
---@field hold? konductor.Duration
---@field mode? "AtLeastOnce"|"AtMostOnce"
---@field env? table<string, string|integer|boolean>
---@field cwd? string
---@field grace? konductor.Duration

---@class konductor.OnceRunOptions
---@field version? string
---@field timeout? konductor.Duration
---@field retries? integer
---@field backoff? konductor.Duration
---@field ttl? konductor.Duration
---@field hold? konductor.Duration
---@field mode? "AtLeastOnce"|"AtMostOnce"
---@field env? table<string, string|integer|boolean>
---@field cwd? string
---@field grace? konductor.Duration
---@field wait? boolean                       default true: waits while another works on it
---@field wait_timeout? konductor.Duration    of the wait

---@class konductor.OnceWaitOptions
---@field version? string                default: the declared one, else the one claimed last
---@field timeout? konductor.Duration    of the wait; default: none

---@class konductor.Once
---@overload fun(options: konductor.OnceOptions)
local Once = {}

---Runs fn unless it is done for this version: true when it ran here, false when it was done
---before. Raises when it failed for good.
---@param options konductor.OnceRunOptions
---@param fn fun(ctx: konductor.Working)
---@return boolean ran
function Once:run(options, fn) end

---Waits until somebody else has executed it; runs nothing, and needs no right but to read. Raises when it
---failed for good, or is not done in time.
---@param options? konductor.OnceWaitOptions
function Once:wait(options) end

---Work that is done once: `k.once "x" { run = ... }` declares it, `k.once("x"):run(...)` does it now.
---@param name string
---@return konductor.Once
function k.once(name) end

-- Leases ----------------------------------------------------------------------------------

---@class konductor.LeaseOptions
---@field ttl? konductor.Duration       default "15s"
---@field priority? integer             higher ones first; default 0
---@field renewable? boolean            default true; false: the work ends with the ttl
---@field preempt? boolean              asks holders of lower priority to make way
---@field queue_max? integer            places in the queue; default 32
---@field main? konductor.Argv|fun(hold: konductor.Working)   default: the command behind "--"
---@field timeout? konductor.Duration   of the main
---@field standby_ready? boolean        default true: who waits for the lease is ready
---@field reelect_after? konductor.Duration   makes way for whoever waits when it has led that long
---@field pod_label? string             "key=value": on the leader's Pod and on no other, for a Service to select
---@field env? table<string, string|integer|boolean>
---@field cwd? string
---@field grace? konductor.Duration     before the deadman kills, when the lease is being lost

---@class konductor.WithOptions
---@field ttl? konductor.Duration           default "15s"
---@field priority? integer
---@field renewable? boolean
---@field preempt? boolean
---@field queue_max? integer
---@field grace? konductor.Duration
---@field wait? boolean                     default true; false: raises at once when another holds it
---@field timeout? konductor.Duration       of the wait
---@field run_timeout? konductor.Duration   of the function

---@class konductor.Lease
---@overload fun(options: konductor.LeaseOptions)
local Lease = {}

---Waits for the lease, runs fn while it is held, releases it when fn returns or raises. Gives
---what fn returns. Raises when the lease was not to be had in time.
---@param options konductor.WithOptions
---@param fn fun(hold: konductor.Working): ...
---@return ...
function Lease:with(options, fn) end

---As with, but does not wait: false and a sentence when another holds it, else true and what fn
---returns.
---@param options konductor.WithOptions
---@param fn fun(hold: konductor.Working): ...
---@return boolean had
---@return ...
function Lease:try(options, fn) end

---One holder at a time: `k.lease "x" { main = ... }` declares it, `k.lease("x"):with(...)` holds it
---around a function.
---@param name string
---@return konductor.Lease
function k.lease(name) end

---A policy of your own: docs/writing-a-policy.md.
---@param policy konductor.PolicyOptions
---@return fun(name: string): konductor.PolicyHandle
function k.policy(policy) end

---@class konductor.PolicyOptions
---@field kind string        of its records
---@field decide function    what to do about a record
---@field held function      whether we hold
---@field renew function     the status that prolongs our hold
---@field release function   the status without us

---@class konductor.PolicyWithOptions
---@field ttl? konductor.Duration
---@field wait? boolean
---@field timeout? konductor.Duration
---@field run_timeout? konductor.Duration
---@field grace? konductor.Duration
---@field spec? table                       of the record, should it have to be made

---@class konductor.PolicyHandle
local PolicyHandle = {}

---As that of a lease.
---@param options konductor.PolicyWithOptions
---@param fn fun(hold: konductor.Working): ...
---@return ...
function PolicyHandle:with(options, fn) end

---As that of a lease.
---@param options konductor.PolicyWithOptions
---@param fn fun(hold: konductor.Working): ...
---@return boolean had
---@return ...
function PolicyHandle:try(options, fn) end

-- Commands --------------------------------------------------------------------------------

---@class konductor.Exec
---@field capture? boolean               collects standard output, at most 1 MiB; default: it is passed through
---@field timeout? konductor.Duration    then its whole tree is ended, with 124
---@field grace? konductor.Duration      between TERM and KILL after the timeout; default "5s"
---@field env? table<string, string|integer|boolean>  more variables; a boolean is 1 or 0
---@field cwd? string                    its working directory
---@field input? string                  its standard input; default: ours
---@field check? boolean                 default true: raises unless it exits with 0
---@field [integer] string|integer       the command

---@class konductor.Result
---@field code integer        exit code; 128+n after signal n; 124 timed out; 126 and 127 as shells
---@field signal? integer     that ended it
---@field output? string      with capture
---@field timed_out boolean  its timeout was over
---@field error? string       why it could not be started

---Runs a command and waits for it. Inside a hold it dies with the hold.
---@param command konductor.Exec
---@return konductor.Result
function k.exec(command) end

-- The rest --------------------------------------------------------------------------------

---An environment variable. Without a default it must be set, and not to "".
---@param name string
---@param default? string
---@return string
function k.env(name, default) end

---Waits; everything else goes on.
---@param duration konductor.Duration
function k.sleep(duration) end

---Milliseconds on the boot clock, which counts suspend and never goes back.
---@return number
function k.now() end

---A duration in milliseconds.
---@param text konductor.Duration
---@return integer ms
function k.duration(text) end

---Milliseconds as a duration: "1m30s".
---@param ms number
---@return string
function k.format_duration(ms) end

---A line of the log: `k.log "text"` at level info, the others at theirs. Fields appear in JSON logs.
---@class konductor.LogFunctions
---@overload fun(text: any, fields?: table)
---@field error fun(text: any, fields?: table)
---@field warn fun(text: any, fields?: table)
---@field info fun(text: any, fields?: table)
---@field debug fun(text: any, fields?: table)
k.log = {}

---JSON. What cannot be encoded or decoded gives nil, a word, a sentence.
---@class konductor.Json
---@field encode fun(value: any): string?, string?, string?  on one line
---@field decode fun(text: string): any, string?, string?
---@field array fun(list: table): table   marks a list, so that an empty one is encoded as []
k.json = {}

---The store, for policies without a hold. Each gives its value; or nil, a word, a sentence.
---@class konductor.StoreVerbs
---@field get fun(kind: string, name: string): konductor.Record?, string?, string?  "absent" when there is none
---@field list fun(kind: string): konductor.Record[]?, string?, string?  in one that is damaged `damage` says why
---@field create fun(kind: string, name: string, spec: table): konductor.Record?, string?, string?  "exists" when there is one
---@field replace fun(record: konductor.Record, status: table): konductor.Record?, string?, string?  "conflict" unless it is as it was read
---@field delete fun(record: konductor.Record): boolean?, string?, string?  "conflict" unless it is as it was read
---@field watch fun(box: konductor.Box, kind: string, name?: string): konductor.Subscription?, string?, string?  changes come into the box
---@field peer fun(box: konductor.Box, session: string): konductor.Subscription?, string?, string?  the end of that process comes into the box
k.store = {}

---A queue of events for k.store.watch.
---@class konductor.Box
---@field wait fun(self, until_ms?: number): konductor.Event?, string?   event; or nil, "timeout"
---@field post fun(self, event: table)   puts one in
---@field close fun(self)                 and with it what was subscribed

---An empty queue of events.
---@return konductor.Box
function k.inbox() end

return k
