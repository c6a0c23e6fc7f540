"""The TFLite Metadata schema's generated reader and writer; `NOTICE` says where it comes from."""
