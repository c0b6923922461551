"""The GraphQL contract: one module for each noun, with its types, inputs, payloads and resolvers."""
