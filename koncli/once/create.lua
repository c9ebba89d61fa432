--- `koncli once create NAME`: defines a Once.

local create = require "koncli.create"
local options_of = require "koncli.options"
local ttl = require "konductor.ttl"

local M = {
  summary = "Makes a Once that nobody has executed.",
  names = true,
  examples = [[
  koncli once create app-init --ttl 1h
  koncli once create app-init --version v2]],
}

function M.describe(parser)
  options_of.ttl(parser, "How long the record is kept after it was executed. Default: for ever.")
  options_of.version(parser, "For those who want to execute it and name none.")
end

function M.run(command, options)
  local warning = ttl.latest_warning(options.version)
  if warning then
    command:remark("koncli once create: " .. warning)
  end
  return create.run(command, { ttl = options.ttl, version = options.version })
end

return M
