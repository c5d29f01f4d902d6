#!/bin/bash
echo "cluster is ready" > /tmp/ready
