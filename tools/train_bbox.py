from detection.commands.train_bbox import main

if __name__ == "__main__":
    raise SystemExit(main())
