--- `koncli lease create NAME`: defines a Lease.

local create = require "koncli.create"
local options_of = require "koncli.options"

local M = {
  summary = "Makes a Lease that nobody holds.",
  names = true,
  examples = [[
  koncli lease create singleton-job --ttl 30m
  koncli lease create db-migration --ttl 15m --priority 10]],
}

function M.describe(parser)
  options_of.ttl(parser, "How long a hold lasts unless renewed. Default: 10m.")
  options_of.priority(parser, "Of those who want it and state none. Default: 0.")
end

function M.run(command, options)
  return create.run(command, { ttl = options.ttl or "10m", priority = options.priority })
end

return M
